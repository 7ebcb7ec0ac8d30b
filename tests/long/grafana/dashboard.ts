/** A dashboard's JSON, as far as it is read here. */

import type { DataQuery, DataTransformerConfig, FieldConfigSource } from '@grafana/data';

export interface Panel {
  id: number;
  title: string;
  type: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- each kind of panel has its own
  options?: any;
  fieldConfig: FieldConfigSource;
  targets: DataQuery[];
  transformations?: DataTransformerConfig[];
}

export interface Variable {
  name: string;
  label: string;
  type: string;
  query: string;
  datasource?: { type: string; uid: string };
  multi?: boolean;
  includeAll?: boolean;
  allValue?: string;
  sort?: number;
  current?: { value?: string | string[]; text?: string | string[] };
}

export interface Annotation {
  name: string;
  enable: boolean;
  datasource: { type: string; uid: string };
  iconColor: string;
}

export interface Dashboard {
  title: string;
  panels: Panel[];
  templating: { list: Variable[] };
  annotations: { list: Annotation[] };
}
