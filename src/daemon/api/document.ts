/** The OpenAPI document: what it keeps of the shapes, and the table of paths that docs/api.md has of it. */
interface Operation {
  readonly summary?: string | undefined;
}

interface OpenApiDocument {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>> | undefined;
}

/** Each shape has a form for requests and one for answers; those that no path uses, directly or through others, are left out. */
export function neededSchemas<Document extends object>(document: Document): Document {
  const components = 'components' in document && typeof document.components === 'object' ? document.components : null;
  const told = components !== null && 'schemas' in components ? components.schemas : undefined;
  const schemas = new Map(Object.entries(typeof told === 'object' ? { ...told } : {}));
  const needed = new Set<string>();
  const rest = { ...document, components: undefined };
  const look = (text: string): void => {
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (name === undefined || needed.has(name)) continue;
      needed.add(name);
      look(JSON.stringify(schemas.get(name) ?? null));
    }
  };
  look(JSON.stringify(rest));
  // Said in words: no schema of an event stream's data can be given in OpenAPI 3.1.
  for (const name of ['DaemonEvent', 'LostEvents', 'TaskView']) look(`"#/components/schemas/${name}"`);
  const kept = Object.fromEntries(
    [...schemas].filter(([name]) => needed.has(name)).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return { ...document, components: { ...components, schemas: kept } };
}

/** The table of docs/api.md. */
export function routeTable({ paths = {} }: OpenApiDocument): string {
  const rows = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { summary }]) => `| \`${method.toUpperCase()} ${path}\` | ${summary} |`),
  );
  return ['| request | what it does |', '|---|---|', ...rows].join('\n');
}
