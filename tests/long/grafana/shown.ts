/** What Grafana's code makes of a dashboard and the answers of a real Prometheus: `shown(dashboard, request)`. */

import {
  CoreApp,
  LoadingState,
  applyFieldOverrides,
  createTheme,
  getDefaultTimeRange,
  getPanelOptionsWithDefaults,
  locationUtil,
  patchArrayVectorProrotypeMethods,
  rangeUtil,
  transformDataFrame,
  type AnnotationQueryRequest,
  type DataQueryRequest,
  type DataSourceApi,
  type DataSourceInstanceSettings,
  type TimeRange,
} from '@grafana/data';
import { PrometheusDatasource } from '@grafana/prometheus';
import { setBackendSrv, setDataSourceSrv, setRunRequest, setTemplateSrv, type BackendSrv, type DataSourceSrv } from '@grafana/runtime';
import { sceneGraph } from '@grafana/scenes';
import { from as observe, lastValueFrom, map } from 'rxjs';
import type { Annotation, Dashboard, Panel } from './dashboard';
import { faults } from './faults';
import { isKind, plugin } from './kinds';
import { Scene } from './scene';
import { Server, type Executed } from './server';
import { SHOW } from './show';
import { register } from './standard';

interface Request {
  /** The URL of Prometheus, and how often it scrapes. */
  prometheus: string;
  scrapeInterval: string;
  /** ISO 8601 */
  from: string;
  to: string;
  chosen: Record<string, string | string[]>;
  maxDataPoints: number;
}

interface Shown {
  faults: string[];
  executed?: Executed[];
  shown?: unknown;
  error?: string;
}

const UID = 'of-the-test';
const theme = createTheme();

register();
patchArrayVectorProrotypeMethods();
setRunRequest((source, request, query) =>
  observe(query ? query(request) : source.query(request)).pipe(
    map(({ data }) => ({ state: LoadingState.Done, series: data, timeRange: request.range }))
  )
);
locationUtil.initialize({
  config: { appSubUrl: '' } as never,
  getVariablesUrlParams: () => ({}),
  getTimeRangeForUrl: () => getDefaultTimeRange().raw,
});

class Viewer {
  private readonly scene: Scene;
  private readonly server: Server;
  private readonly range: TimeRange;
  private readonly source: PrometheusDatasource;

  constructor(
    private readonly dashboard: Dashboard,
    private readonly request: Request
  ) {
    this.scene = new Scene(dashboard, request.from, request.to);
    this.server = new Server(request.prometheus, request.scrapeInterval);
    this.range = sceneGraph.getTimeRange(this.scene.root).state.value;
    setTemplateSrv(this.scene.service());
    setBackendSrv({ fetch: (asked: never) => observe(this.server.answer(asked)) } as unknown as BackendSrv);
    const settings = {
      id: 1, uid: UID, name: 'Prometheus', type: 'prometheus', access: 'proxy', url: '/api/datasources/proxy/uid/of-the-test',
      jsonData: { timeInterval: request.scrapeInterval, httpMethod: 'POST' }, meta: { id: 'prometheus', metrics: true }, readOnly: true,
    } as unknown as DataSourceInstanceSettings<never>; // prettier-ignore
    setDataSourceSrv(this.sources(settings as unknown as DataSourceInstanceSettings));
    this.source = new PrometheusDatasource(settings);
  }

  /** Two are installed, one of which is no Prometheus. */
  private sources(settings: DataSourceInstanceSettings): DataSourceSrv {
    const other = { ...settings, id: 2, uid: 'other', name: 'Other', type: 'loki', meta: { ...settings.meta, id: 'loki' } };
    const find = (ref: unknown, scopedVars?: never) => {
      const uid = this.scene.replace(typeof ref === 'string' ? ref : (ref as { uid?: string })?.uid, scopedVars);
      return [settings, other].find((each) => each.uid === uid || each.name === uid);
    };
    return {
      get: async (ref: unknown, scopedVars: never) => {
        if (find(ref, scopedVars) !== settings) {
          throw new Error(`no data source ${JSON.stringify(ref)}`);
        }
        return this.source as unknown as DataSourceApi;
      },
      getList: ({ pluginId, filter }: { pluginId?: string; filter?: (each: unknown) => boolean } = {}) =>
        [settings, other].filter((each) => (!pluginId || each.type === pluginId) && (!filter || filter(each))),
      getInstanceSettings: find,
      reload: () => undefined,
    } as unknown as DataSourceSrv;
  }

  async all(): Promise<unknown> {
    const variables = await this.scene.choose(this.request.chosen);
    const panels: Record<string, Shown> = {};
    for (const panel of this.dashboard.panels) {
      panels[panel.title] = await this.panel(panel);
    }
    const annotations: Record<string, unknown> = {};
    for (const annotation of this.dashboard.annotations.list) {
      if (annotation.datasource.type === 'prometheus') {
        annotations[annotation.name] = await this.annotation(annotation);
      }
    }
    return { variables, panels, annotations };
  }

  private async panel(panel: Panel): Promise<Shown> {
    const found = faults(panel, theme);
    if (!isKind(panel.type)) {
      return { faults: found };
    }
    this.server.executed = [];
    try {
      const made = plugin(panel.type);
      const { options, fieldConfig } = getPanelOptionsWithDefaults({
        plugin: made,
        currentOptions: structuredClone(panel.options ?? {}),
        currentFieldConfig: structuredClone(panel.fieldConfig),
        isAfterPluginChange: false,
      });
      const { data, error } = await lastValueFrom(this.source.query(this.queries(panel)));
      if (error) {
        throw new Error(error.message);
      }
      const { replace: replaceVariables } = this.scene.service();
      const transformed = await lastValueFrom(transformDataFrame(panel.transformations ?? [], data, { interpolate: replaceVariables }));
      const fields = { fieldConfig, fieldConfigRegistry: made.fieldConfigRegistry, replaceVariables, theme, timeZone: 'utc' };
      const frames = applyFieldOverrides({ ...fields, data: transformed });
      const shown = SHOW[panel.type](frames, { options, fieldConfig, theme, replaceVariables });
      return { faults: found, executed: [...this.server.executed], shown };
    } catch (error) {
      return { faults: found, executed: this.server.executed, error: String(error) };
    }
  }

  private queries(panel: Panel): DataQueryRequest<never> {
    const { maxDataPoints } = this.request;
    const { interval, intervalMs } = rangeUtil.calculateInterval(this.range, maxDataPoints, this.source.interval);
    const scopedVars = {
      __interval: { text: interval, value: interval },
      __interval_ms: { text: String(intervalMs), value: intervalMs },
    };
    const common = { app: CoreApp.Dashboard, requestId: String(panel.id), panelId: panel.id, timezone: 'utc', startTime: 0 };
    return { ...common, range: this.range, interval, intervalMs, maxDataPoints, scopedVars, targets: panel.targets as never[] };
  }

  private async annotation(annotation: Annotation): Promise<unknown> {
    const request = { annotation, range: this.range, rangeRaw: this.range.raw, dashboard: {} } as unknown as AnnotationQueryRequest<never>;
    const events = await this.source.annotationQuery(request);
    return events.map(({ time, timeEnd, title, tags }) => ({ time, timeEnd, title, tags }));
  }
}

async function shown(dashboard: Dashboard, request: Request): Promise<unknown> {
  return new Viewer(dashboard, request).all();
}

Object.assign(globalThis, { shown });
