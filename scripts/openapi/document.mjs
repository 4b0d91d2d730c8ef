// load(FILE) reads docs/openapi.yaml, converted to one JSON document. Returns the document, and a
// function that resolves a $ref in it.
import { readFileSync } from 'node:fs';

export function load(file) {
  const document = JSON.parse(readFileSync(file));
  const resolve = (schema) => {
    while (schema?.$ref) schema = schema.$ref.slice(2).split('/').reduce((at, name) => at[name], document);
    return schema?.allOf?.length === 1 ? resolve(schema.allOf[0]) : schema;
  };
  return { document, resolve };
}
