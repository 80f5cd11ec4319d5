/**
 * The schema of viaduct.yaml as JSON Schema (draft 2020-12), from the schemas that check it: for editors, for the table in
 * docs/configuration.md, and to know which keys there are at a place.
 */
import { z } from 'zod';
import { formatPath, type Path } from './problem.ts';
import { configurationSchema } from './schema.ts';

/** The parts of JSON Schema that are used here. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema | boolean;
  readonly prefixItems?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
}

export function configurationJsonSchema(): JsonSchema & Readonly<Record<string, unknown>> {
  const { $schema, ...rest } = z.toJSONSchema(configurationSchema, { io: 'input' });
  return {
    $schema,
    title: 'viaduct.yaml',
    description: 'The configuration of `viaduct daemon`.',
    ...(rest as JsonSchema),
  };
}

/** What may stand at the path; several if there is a choice, none if nothing may. */
export function schemasAt(root: JsonSchema, path: Path): JsonSchema[] {
  let schemas = alternatives(root);
  for (const part of path) {
    schemas = schemas.flatMap((schema) => below(schema, part)).flatMap(alternatives);
  }
  return schemas;
}

/** The keys that may stand in the mapping at the path. */
export function keysAt(root: JsonSchema, path: Path): string[] {
  return [...new Set(schemasAt(root, path).flatMap((schema) => Object.keys(schema.properties ?? {})))];
}

function below(schema: JsonSchema, part: string | number): readonly JsonSchema[] {
  if (typeof part === 'number') {
    const item = schema.prefixItems?.[part] ?? schema.items;
    return typeof item === 'object' ? [item] : [];
  }
  const child = schema.properties?.[part] ?? schema.additionalProperties;
  return typeof child === 'object' ? [child] : [];
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(alternatives);
}

export interface KeyRow {
  /** `sessions.NAME.listen`, `rules[].path` */
  readonly key: string;
  readonly isRequired: boolean;
  readonly description: string;
}

/** Every key with what it is for, in the order of the schema. */
export function keyRows(): KeyRow[] {
  const rows: KeyRow[] = [];
  collectRows(configurationJsonSchema(), [], rows);
  return rows;
}

function collectRows(schema: JsonSchema, path: Path, rows: KeyRow[]): void {
  for (const option of alternatives(schema)) {
    for (const [key, child] of Object.entries(option.properties ?? {})) {
      const at = [...path, key];
      if (child.description !== undefined) {
        const isRequired = option.required?.includes(key) === true;
        rows.push({ key: formatPath(at).replaceAll('[0]', '[]'), isRequired, description: child.description });
      }
      // The settings of a session are those of a policy.
      if (key !== 'settings') collectRows(child, at, rows);
    }
    if (typeof option.additionalProperties === 'object')
      collectRows(option.additionalProperties, [...path, 'NAME'], rows);
    if (typeof option.items === 'object') collectRows(option.items, [...path, 0], rows);
  }
}
