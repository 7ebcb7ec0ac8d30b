/** What a panel names and Grafana does not know: it would be ignored in silence, or shown raw. */

import {
  FieldColorModeId,
  MappingType,
  SpecialValueMatch,
  ThresholdsMode,
  fieldColorModeRegistry,
  fieldMatchers,
  fieldReducers,
  getValueFormats,
  standardTransformersRegistry,
  type GrafanaTheme2,
  type PanelPlugin,
} from '@grafana/data';
import { isKind, optionsOf, plugin } from './kinds';
import type { Panel } from './dashboard';

const UNITS = new Set(getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value)));
const MAPPINGS = new Set<string>(Object.values(MappingType));
const SPECIAL = new Set<string>(Object.values(SpecialValueMatch));
const MODES = new Set<string>(Object.values(ThresholdsMode));

export function faults(panel: Panel, theme: GrafanaTheme2): string[] {
  if (!isKind(panel.type)) {
    return [`no panel of kind ${panel.type}`];
  }
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const registry = plugin(panel.type).fieldConfigRegistry;
  const options = panel.options ?? {};
  const known = optionsOf(panel.type);
  const { custom = {}, ...standard } = defaults;
  return [
    ...Object.keys(options).flatMap((name) => unless(known.includes(name), `option ${name}`)),
    ...(options.reduceOptions?.calcs ?? []).flatMap((name: string) => unless(fieldReducers.getIfExists(name), `reducer ${name}`)),
    ...(panel.transformations ?? []).flatMap(({ id }) => unless(standardTransformersRegistry.getIfExists(id), `transformation ${id}`)),
    ...Object.entries(standard).flatMap(([name, value]) => ofProperty(name, value, registry, theme)),
    ...Object.entries(custom).flatMap(([name, value]) => ofProperty(`custom.${name}`, value, registry, theme)),
    ...overrides.flatMap(({ matcher, properties }) => [
      ...unless(fieldMatchers.getIfExists(matcher.id), `matcher ${matcher.id}`),
      ...properties.flatMap(({ id, value }) => ofProperty(id, value, registry, theme)),
    ]),
  ];
}

function unless(known: unknown, what: string): string[] {
  return known ? [] : [`unknown ${what}`];
}

function colour(name: string | undefined, theme: GrafanaTheme2): string[] {
  return unless(name && CSS.supports('color', theme.visualization.getColorByName(name)), `colour ${name}`);
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON
function ofProperty(id: string, value: any, registry: PanelPlugin['fieldConfigRegistry'], theme: GrafanaTheme2): string[] {
  if (!registry.getIfExists(id)) {
    return [`unknown property ${id}`];
  }
  switch (id) {
    case 'unit':
      return unless(UNITS.has(value), `unit ${value}`);
    case 'color':
      return [
        ...unless(fieldColorModeRegistry.getIfExists(value.mode), `colour mode ${value.mode}`),
        ...(value.mode === FieldColorModeId.Fixed ? colour(value.fixedColor, theme) : []),
      ];
    case 'thresholds':
      return [
        ...unless(MODES.has(value.mode), `thresholds mode ${value.mode}`),
        ...value.steps.flatMap((step: { color: string }) => colour(step.color, theme)),
      ];
    case 'mappings':
      // eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON
      return value.flatMap((mapping: any) => ofMapping(mapping, theme));
    default:
      return [];
  }
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON
function ofMapping(mapping: any, theme: GrafanaTheme2): string[] {
  if (!MAPPINGS.has(mapping.type)) {
    return [`unknown mapping ${mapping.type}`];
  }
  const results = mapping.type === MappingType.ValueToText ? Object.values(mapping.options) : [mapping.options.result];
  return [
    ...(mapping.type === MappingType.SpecialValue ? unless(SPECIAL.has(mapping.options.match), `special value ${mapping.options.match}`) : []),
    ...(results as Array<{ color?: string }>).flatMap((result) => (result.color ? colour(result.color, theme) : [])),
  ];
}
