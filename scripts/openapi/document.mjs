// docs/openapi.yaml, as one JSON document in FILE: load(FILE) gives it, and what a reference in it
// stands for.
import { readFileSync } from 'node:fs';

export function load(file) {
  const document = JSON.parse(readFileSync(file));
  const resolve = (schema) => {
    while (schema?.$ref) schema = schema.$ref.slice(2).split('/').reduce((at, name) => at[name], document);
    return schema?.allOf?.length === 1 ? resolve(schema.allOf[0]) : schema;
  };
  return { document, resolve };
}
