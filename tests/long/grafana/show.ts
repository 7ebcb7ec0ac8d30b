/** What each kind of panel shows of its data: texts, names and colours, as Grafana's display processors give them. */

import {
  DataFrameType,
  FieldType,
  formattedValueToString,
  getDisplayProcessor,
  getFieldDisplayName,
  getFieldDisplayValues,
  getFieldSeriesColor,
  type DataFrame,
  type DisplayValue,
  type Field,
  type FieldDisplay,
  type FieldConfigSource,
  type GrafanaTheme2,
  type InterpolateFunction,
} from '@grafana/data';
import { drawnFigure, drawnGauge, drawnTable } from './draw';
import type { Kind } from './kinds';

export interface Context {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- each kind of panel has its own
  options: any;
  fieldConfig: FieldConfigSource;
  theme: GrafanaTheme2;
  replaceVariables: InterpolateFunction;
}

/** A value as it is read: what stands there, in which colour, and the number behind it. */
interface Text {
  text: string;
  colour?: string;
  value: number | string | null;
  link?: string;
}

type Show = (frames: DataFrame[], context: Context) => unknown;

/** JSON has neither NaN nor infinity. */
function plain(value: unknown): number | string | null {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : ((value ?? null) as number | string | null);
}

function read(display: DisplayValue, value: unknown): Text {
  return { text: formattedValueToString(display), colour: display.color, value: plain(value) };
}

function texts(field: Field): Text[] {
  return field.values.map((value) => read(field.display!(value), value));
}

const numbers = (frame: DataFrame) => frame.fields.filter((field) => field.type === FieldType.number);

/** A figure for each series, and what is read where it is drawn. */
const figures =
  (draw: (figure: FieldDisplay, context: Context) => string): Show =>
  (frames, context) => {
    const { options, fieldConfig, theme, replaceVariables } = context;
    const { reduceOptions } = options;
    return getFieldDisplayValues({ fieldConfig, reduceOptions, replaceVariables, theme, data: frames, timeZone: 'utc' }).map((figure) => ({
      name: figure.display.title ?? '',
      ...read(figure.display, figure.display.numeric),
      drawn: draw(figure, context),
    }));
  };

const lines: Show = (frames, { theme }) =>
  frames.flatMap((frame) =>
    numbers(frame).map((field) => ({
      name: getFieldDisplayName(field, frame, frames),
      colour: getFieldSeriesColor(field, theme).color,
      times: frame.fields.find(({ type }) => type === FieldType.time)!.values,
      values: texts(field),
    }))
  );

/** Neighbouring samples that read the same are one band. */
const bands: Show = (frames) =>
  frames.flatMap((frame) =>
    numbers(frame).map((field) => ({
      name: getFieldDisplayName(field, frame, frames),
      bands: texts(field).filter(({ text }, index, all) => text !== all[index - 1]?.text),
    }))
  );

const bars: Show = (frames, { options, theme }) => {
  const [frame] = frames;
  if (!frame) {
    return { x: [], series: [] };
  }
  const name = (field: Field) => getFieldDisplayName(field, frame, frames);
  const x = frame.fields.find((field) => name(field) === options.xField);
  if (!x || (x.type !== FieldType.string && x.type !== FieldType.time)) {
    throw new Error(`no field ${options.xField} of text for the bars: ${frame.fields.map((field) => `${name(field)} ${field.type}`)}`);
  }
  const series = numbers(frame).map((field) => ({ name: name(field), colour: getFieldSeriesColor(field, theme).color, values: texts(field) }));
  return { x: texts(x).map(({ text }) => text), series, others: frame.fields.filter((field) => field !== x && field.type !== FieldType.number).map(name) };
};

const table: Show = (frames, { theme }) => {
  const [frame] = frames;
  const drawn = frame ? drawnTable(frame, theme) : [];
  return (frame?.fields ?? []).map((field, column) => ({
    drawn: drawn.map((row) => row[column]),
    name: getFieldDisplayName(field, frame, frames),
    coloured: ['color-text', 'color-background'].includes(field.config.custom?.cellOptions?.type),
    cells: field.values.map((value, valueRowIndex) => ({
      ...read(field.display!(value), value),
      link: field.getLinks?.({ valueRowIndex })[0]?.href,
    })),
  }));
};

/** Rows of buckets, each named by its upper bound. */
const heat: Show = (frames, { fieldConfig, theme }) => {
  const rows = frames.find((frame) => frame.meta?.type === DataFrameType.HeatmapRows);
  if (!rows) {
    throw new Error('no rows of buckets for the heatmap');
  }
  const display = getDisplayProcessor({ field: { type: FieldType.number, config: fieldConfig.defaults }, theme });
  return numbers(rows).map((field) => ({
    name: getFieldDisplayName(field, rows, frames),
    values: field.values.map((value) => read(display(value), value)),
  }));
};

export const SHOW: Record<Kind, Show> = {
  barchart: bars,
  bargauge: figures((figure, { options, theme }) => drawnGauge(figure, options, theme)),
  heatmap: heat,
  stat: figures((figure, { options, theme }) => drawnFigure(figure, options.colorMode as never, theme)),
  'state-timeline': bands,
  table,
  timeseries: lines,
};
