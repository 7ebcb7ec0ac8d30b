/** The kinds of panels: the options and fields that each has, in Grafana's own types, and how it shows data.
 *
 * The panels themselves are part of Grafana's front end, of which npm has the types alone. The compiler holds each table of names
 * against those types: a name too many or too few does not compile.
 */

import { FieldColorModeId, FieldConfigProperty, PanelPlugin, identityOverrideProcessor } from '@grafana/data';
import type * as common from '@grafana/schema';
import type * as barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** Every member of T, and no other. */
type Names<T> = Record<keyof Required<T>, true>;

const axis: Names<common.AxisConfig> = {
  axisBorderShow: true, axisCenteredZero: true, axisColorMode: true, axisGridShow: true, axisLabel: true, axisPlacement: true,
  axisSoftMax: true, axisSoftMin: true, axisWidth: true, scaleDistribution: true,
}; // prettier-ignore
const hideable: Names<common.HideableFieldConfig> = { hideFrom: true };
const graph: Names<timeseries.FieldConfig> = {
  ...axis, ...hideable,
  lineColor: true, lineInterpolation: true, lineStyle: true, lineWidth: true, spanNulls: true,
  barAlignment: true, barMaxWidth: true, barWidthFactor: true, fillBelowTo: true, fillColor: true, fillOpacity: true,
  pointColor: true, pointSize: true, pointSymbol: true, showPoints: true, stacking: true,
  drawStyle: true, gradientMode: true, insertNulls: true, thresholdsStyle: true, transform: true,
}; // prettier-ignore

const OPTIONS = {
  barchart: {
    barRadius: true, barWidth: true, colorByField: true, fullHighlight: true, groupWidth: true, orientation: true, showValue: true,
    stacking: true, xField: true, xTickLabelMaxLength: true, xTickLabelRotation: true, xTickLabelSpacing: true,
    legend: true, tooltip: true, text: true,
  } satisfies Names<barchart.Options>,
  bargauge: {
    displayMode: true, maxVizHeight: true, minVizHeight: true, minVizWidth: true, namePlacement: true, showUnfilled: true,
    sizing: true, valueMode: true, legend: true, orientation: true, reduceOptions: true, text: true,
  } satisfies Names<bargauge.Options>,
  heatmap: {
    calculate: true, calculation: true, cellGap: true, cellRadius: true, cellValues: true, color: true, exemplars: true,
    filterValues: true, legend: true, rowsFrame: true, selectionMode: true, showValue: true, tooltip: true, yAxis: true,
  } satisfies Names<heatmap.Options>,
  stat: {
    colorMode: true, graphMode: true, justifyMode: true, percentChangeColorMode: true, showPercentChange: true, textMode: true,
    wideLayout: true, orientation: true, reduceOptions: true, text: true,
  } satisfies Names<stat.Options>,
  'state-timeline': {
    alignValue: true, mergeValues: true, perPage: true, rowHeight: true, showValue: true, legend: true, tooltip: true, timezone: true,
  } satisfies Names<statetimeline.Options>,
  table: {
    cellHeight: true, footer: true, frameIndex: true, showHeader: true, showTypeIcons: true, sortBy: true,
  } satisfies Names<table.Options>,
  timeseries: { legend: true, orientation: true, tooltip: true, timezone: true } satisfies Names<timeseries.Options>,
}; // prettier-ignore

export type Kind = keyof typeof OPTIONS;

const FIELDS: Record<Kind, Record<string, true>> = {
  barchart: { ...axis, ...hideable, fillOpacity: true, gradientMode: true, lineWidth: true, thresholdsStyle: true } satisfies Names<barchart.FieldConfig>,
  bargauge: {},
  heatmap: { ...hideable, scaleDistribution: true } satisfies Names<heatmap.FieldConfig>,
  stat: {},
  'state-timeline': { ...hideable, fillOpacity: true, lineWidth: true } satisfies Names<statetimeline.FieldConfig>,
  table: {
    align: true, cellOptions: true, displayMode: true, filterable: true, hidden: true, hideHeader: true, inspect: true,
    minWidth: true, width: true,
  } satisfies Names<table.FieldConfig>,
  timeseries: graph,
}; // prettier-ignore

/** How series are coloured where the dashboard does not say it. */
const COLOURS: Partial<Record<Kind, FieldColorModeId>> = {
  barchart: FieldColorModeId.PaletteClassic,
  'state-timeline': FieldColorModeId.ContinuousGrYlRd,
  timeseries: FieldColorModeId.PaletteClassic,
};

export function isKind(type: string): type is Kind {
  return type in OPTIONS;
}

export function optionsOf(kind: Kind): string[] {
  return Object.keys(OPTIONS[kind]);
}

/** The panel's field configuration as its plugin registers it, behind Grafana's standard one. */
export function plugin(kind: Kind): PanelPlugin {
  const mode = COLOURS[kind];
  const settings = { byValueSupport: true, bySeriesSupport: true, preferThresholdsMode: kind === 'stat' };
  return new PanelPlugin(() => null).useFieldConfig({
    standardOptions: mode ? { [FieldConfigProperty.Color]: { settings, defaultValue: { mode } } } : {},
    useCustomConfig: (builder) => {
      for (const name of Object.keys(FIELDS[kind])) {
        builder.addCustomEditor({
          id: name,
          path: name,
          name,
          editor: () => null,
          override: () => null,
          process: identityOverrideProcessor,
          shouldApply: () => true,
          settings: {},
        });
      }
    },
  });
}
