/** A dashboard as JSON may have it, made of Grafana's own types: what it has too much is an error as well. */

import type { Dashboard, DataQuery, Panel } from '@grafana/schema';
import type { AnnotationQuery } from '@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen';
import type * as barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** JSON has strings where Grafana's types have enumerations of strings. */
type Plain<T> = T extends string
  ? `${T}`
  : T extends Array<infer E>
    ? Array<Plain<E>>
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T;

type FieldConfig = NonNullable<Panel['fieldConfig']>;

/** Grafana's types leave queries to each data source, and have none of Prometheus. */
type Query = DataQuery & {
  expr: string;
  legendFormat: string;
  datasource: { type: 'prometheus'; uid: string };
  format?: 'table' | 'heatmap' | 'time_series';
} & ({ instant: true; range: false } | { instant: false; range: true });

/** A panel whose options and fields are those of its own kind. */
type Of<Name, Options, Custom = Record<string, never>> = Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Name;
  targets: Query[];
  options?: Partial<Options>;
  fieldConfig: {
    defaults: Omit<FieldConfig['defaults'], 'custom'> & { custom?: Partial<Custom> };
    overrides: FieldConfig['overrides'];
  };
};

/** What the Prometheus data source reads of an annotation, and Grafana's types leave out. */
type OfPrometheus = { expr: string; step: string; titleFormat: string; tagKeys: string; useValueForTime: boolean };

type AnyPanel =
  | Of<'barchart', barchart.Options, barchart.FieldConfig>
  | Of<'bargauge', bargauge.Options>
  | Of<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | Of<'stat', stat.Options>
  | Of<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | Of<'table', table.Options, table.FieldConfig>
  | Of<'timeseries', timeseries.Options, timeseries.FieldConfig>;

export type Board = Plain<
  Omit<Dashboard, 'panels' | 'annotations'> & { panels: AnyPanel[]; annotations: { list: Array<AnnotationQuery | (Omit<AnnotationQuery, 'target'> & OfPrometheus)> } }
>;
