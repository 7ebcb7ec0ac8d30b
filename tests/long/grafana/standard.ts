/** What Grafana's front end registers when it starts: the standard properties of fields, and the transformations.
 *
 * How a property is processed, and what a transformation does, is Grafana's. The list of properties with their defaults is in its
 * front end, which npm does not have; that of transformations is in @grafana/data.
 */

import {
  FieldConfigProperty,
  ThresholdsMode,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  booleanOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';

// each processor takes its own kind of value, as its property has it
const PROCESSORS = {
  unit: unitOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  fieldMinMax: booleanOverrideProcessor,
  decimals: numberOverrideProcessor,
  displayName: displayNameOverrideProcessor,
  noValue: stringOverrideProcessor,
  color: identityOverrideProcessor,
  links: dataLinksOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  filterable: booleanOverrideProcessor,
} as unknown as Record<string, typeof identityOverrideProcessor>;

const DEFAULTS: Record<string, unknown> = {
  mappings: [],
  // a value of 80 or more is red unless a dashboard has thresholds of its own
  thresholds: {
    mode: ThresholdsMode.Absolute,
    steps: [
      { value: -Infinity, color: 'green' },
      { value: 80, color: 'red' },
    ],
  },
};

// one of them has two names
const TRANSFORMERS = new Map(Object.values(standardTransformers).map((transformation) => [transformation.id, transformation]));

export function register(): void {
  standardFieldConfigEditorRegistry.setInit(() =>
    Object.entries(PROCESSORS).map(([id, process]) => ({
      id: id as FieldConfigProperty,
      path: id,
      name: id,
      editor: () => null,
      override: () => null,
      process,
      settings: {},
      defaultValue: DEFAULTS[id],
      shouldApply: () => true,
    }))
  );
  standardTransformersRegistry.setInit(() =>
    [...TRANSFORMERS].map(([id, transformation]) => ({
      id,
      name: transformation.name,
      editor: () => null,
      transformation: transformation as never,
    }))
  );
}
