/** Variables of a dashboard as Grafana's scenes hold them: their values, and texts with them put in. */

import { VariableRefresh, type ScopedVars, type VariableSort } from '@grafana/data';
import {
  CustomVariable,
  DataSourceVariable,
  EmbeddedScene,
  QueryVariable,
  SceneObjectBase,
  SceneTimeRange,
  SceneVariableSet,
  sceneGraph,
} from '@grafana/scenes';
import type { TemplateSrv } from '@grafana/runtime';
import { lastValueFrom } from 'rxjs';
import type { Dashboard, Variable } from './dashboard';

class Body extends SceneObjectBase {}

type Kept = CustomVariable | DataSourceVariable | QueryVariable;
type Format = Parameters<typeof sceneGraph.interpolate>[3];

/** A variable with the value that was chosen, and what could have been. */
export interface Offered {
  options: Array<{ text: string; value: string }>;
  value: unknown;
  text: unknown;
}

export class Scene {
  readonly root: EmbeddedScene;
  private readonly variables: Kept[];

  constructor(dashboard: Dashboard, from: string, to: string) {
    this.variables = dashboard.templating.list.map(made);
    this.root = new EmbeddedScene({
      $timeRange: new SceneTimeRange({ from, to, timeZone: 'utc' }),
      $variables: new SceneVariableSet({ variables: this.variables }),
      body: new Body({}),
    });
  }

  /** Read what each offers, one after the other as they depend on each other, and choose. */
  async choose(chosen: Record<string, string | string[]>): Promise<Record<string, Offered>> {
    const offered: Record<string, Offered> = {};
    for (const variable of this.variables) {
      const name = variable.state.name;
      await lastValueFrom(variable.validateAndUpdate());
      const options = variable.state.options.map(({ label, value }) => ({ text: label, value: String(value) }));
      if (name in chosen) {
        for (const value of [chosen[name]].flat()) {
          if (!options.some((option) => option.value === value)) {
            throw new Error(`variable ${name} does not offer ${value}: ${JSON.stringify(options)}`);
          }
        }
        variable.changeValueTo(chosen[name]);
      }
      offered[name] = { options, value: variable.state.value, text: variable.state.text };
    }
    return offered;
  }

  replace(text: string | undefined, scopedVars?: ScopedVars, format?: Format): string {
    const scene = scopedVars?.__sceneObject?.value?.valueOf() ?? this.root;
    return sceneGraph.interpolate(scene, text, scopedVars, format);
  }

  service(): TemplateSrv {
    return {
      getVariables: () => [],
      replace: (text, scopedVars, format) => this.replace(text, scopedVars, format as Format),
      containsTemplate: (text) => /\$/.test(text ?? ''),
      updateTimeRange: () => undefined,
    };
  }
}

function made(variable: Variable): Kept {
  const { name, label, query, current } = variable;
  const common = { name, label, value: current?.value ?? '', text: current?.text ?? '' };
  const several = { isMulti: variable.multi, includeAll: variable.includeAll, allValue: variable.allValue };
  switch (variable.type) {
    case 'datasource':
      return new DataSourceVariable({ name, label, pluginId: query });
    case 'custom':
      return new CustomVariable({ ...common, ...several, query });
    case 'query':
      return new QueryVariable({
        ...common,
        ...several,
        query,
        datasource: variable.datasource,
        sort: variable.sort as VariableSort,
        refresh: VariableRefresh.onTimeRangeChanged,
      });
    default:
      throw new Error(`no variable of type ${variable.type}`);
  }
}
