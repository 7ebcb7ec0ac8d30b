/** What Grafana's server does for the Prometheus data source: it puts in intervals, queries, and names the series.
 *
 * The browser's half is Grafana's own (`PrometheusDatasource`); this half is written in Go there, and nothing on npm has it.
 */

import { dateTime, rangeUtil } from '@grafana/data';
import type { BackendSrvRequest, FetchResponse } from '@grafana/runtime';

const SECOND = 1000;
const MOST_POINTS = 11_000; // Prometheus answers no more for a series

/** As the data source's code sends it. */
interface Query {
  refId: string;
  expr: string;
  instant?: boolean;
  legendFormat?: string;
  interval?: string;
  intervalMs?: number;
  maxDataPoints?: number;
}

interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: Array<[number, string]>;
}

/** What Prometheus was queried: times in seconds. */
export interface Executed {
  refId: string;
  expr: string;
  start: number;
  end: number;
  step: number;
}

export class Server {
  executed: Executed[] = [];

  constructor(
    private readonly prometheus: string,
    private readonly scrapeInterval: string
  ) {}

  async answer(request: BackendSrvRequest): Promise<FetchResponse> {
    const url = new URL(request.url, 'http://grafana');
    const [, resource] = url.pathname.split('/resources');
    if (resource) {
      return response(request, await this.prometheusAnswers(resource, new URLSearchParams(request.data ?? url.search)));
    }
    if (url.pathname !== '/api/ds/query') {
      throw new Error(`Grafana's server has no ${url.pathname} here`);
    }
    const { queries, from, to } = request.data as { queries: Query[]; from: string; to: string };
    const results: Record<string, unknown> = {};
    for (const query of queries) {
      try {
        results[query.refId] = { status: 200, frames: await this.run(query, Number(from), Number(to)) };
      } catch (error) {
        results[query.refId] = { status: 400, error: String(error), frames: [] };
      }
    }
    return response(request, { results });
  }

  private async run(query: Query, from: number, to: number): Promise<unknown[]> {
    const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
    const { intervalMs } = rangeUtil.calculateInterval(range, query.maxDataPoints ?? 100, query.interval || this.scrapeInterval);
    const stepMs = Math.max(intervalMs, Math.ceil((to - from) / MOST_POINTS));
    const expr = this.withIntervals(query, stepMs, to - from);
    const step = stepMs / SECOND;
    const aligned = (time: number) => (Math.floor(time / stepMs) * stepMs) / SECOND;
    const executed = query.instant
      ? { refId: query.refId, expr, start: to / SECOND, end: to / SECOND, step: 0 }
      : { refId: query.refId, expr, start: aligned(from), end: aligned(to), step };
    this.executed.push(executed);
    const parameters = new URLSearchParams({ query: expr });
    if (query.instant) {
      parameters.set('time', String(executed.end));
    } else {
      parameters.set('start', String(executed.start));
      parameters.set('end', String(executed.end));
      parameters.set('step', String(step));
    }
    const path = query.instant ? '/api/v1/query' : '/api/v1/query_range';
    const { data } = (await this.prometheusAnswers(path, parameters)) as { data: { resultType: string; result: Series[] } };
    return data.result.map((series) => frame(query, series, data.resultType, stepMs));
  }

  /** `$__rate_interval` spans four scrapes at least. */
  private withIntervals(query: Query, stepMs: number, rangeMs: number): string {
    const scrape = rangeUtil.intervalToMs(query.interval || this.scrapeInterval);
    const rate = Math.max((query.intervalMs ?? stepMs) + scrape, 4 * scrape);
    const values: Record<string, string> = {
      __interval: duration(stepMs),
      __range: `${Math.round(rangeMs / SECOND)}s`,
      __rate_interval: duration(rate),
    };
    return query.expr.replace(/\$(?:\{(__\w+)\}|(__\w+))/g, (all, braced, bare) => values[braced ?? bare] ?? all);
  }

  private async prometheusAnswers(path: string, parameters: URLSearchParams): Promise<unknown> {
    const answer = await fetch(`${this.prometheus}${path}?${parameters}`);
    const body = await answer.json();
    if (body.status !== 'success') {
      throw new Error(`${body.errorType}: ${body.error} (${parameters})`);
    }
    return body;
  }
}

function duration(ms: number): string {
  return ms % SECOND ? `${ms}ms` : `${ms / SECOND}s`;
}

function response(request: BackendSrvRequest, data: unknown): FetchResponse {
  const ok = { status: 200, statusText: 'OK', ok: true, headers: new Headers(), redirected: false, type: 'basic' as const };
  return { ...ok, url: request.url, config: request, data };
}

/** One series as the server writes a data frame in JSON, which has no NaN and no infinity. */
function frame(query: Query, series: Series, resultType: string, stepMs: number): unknown {
  const samples = series.values ?? [series.value as [number, string]];
  const numbers = samples.map(([, text]) => ({ '+Inf': Infinity, '-Inf': -Infinity })[text] ?? Number(text));
  const where = (matches: (value: number) => boolean) => numbers.flatMap((value, index) => (matches(value) ? [index] : []));
  const special = { NaN: where(Number.isNaN), Inf: where((value) => value === Infinity), NegInf: where((value) => value === -Infinity) };
  return {
    schema: {
      refId: query.refId,
      meta: { type: resultType === 'matrix' ? 'timeseries-multi' : 'numeric-multi', typeVersion: [0, 1], custom: { resultType } },
      fields: [
        { name: 'Time', type: 'time', typeInfo: { frame: 'time.Time' }, config: { interval: stepMs } },
        {
          name: series.metric.__name__ ?? 'Value',
          type: 'number',
          typeInfo: { frame: 'float64' },
          labels: series.metric,
          config: { displayNameFromDS: legend(query, series.metric) || undefined },
        },
      ],
    },
    data: {
      values: [samples.map(([time]) => time * SECOND), numbers.map((value) => (Number.isFinite(value) ? value : null))],
      entities: [null, special],
    },
  };
}

/** A series without labels of its own is called by its query. */
function legend(query: Query, labels: Record<string, string>): string {
  if (query.legendFormat) {
    return query.legendFormat.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, name: string) => labels[name] ?? '');
  }
  const { __name__: name = '', ...others } = labels;
  const pairs = Object.entries(others).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length ? `${name}{${pairs.sort().join(', ')}}` : name || query.expr;
}
