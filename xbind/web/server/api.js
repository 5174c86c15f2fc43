// Shows openapi.json as a page, without anything from another host.

function element(name, text = "", ...children) {
  const made = document.createElement(name);
  made.append(text, ...children);
  return made;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.filter((each) => each.type !== "null").map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.contentMediaType || schema.format === "binary") return "file";
  return schema.type === "array" ? `list of ${typeOf(schema.items)}` : schema.type ?? "";
}

function table(rows) {
  const made = element("table");
  for (const [name, type, about] of rows) {
    made.append(element("tr", "", element("th", "", element("code", name)), element("td", type), element("td", about)));
  }
  return made;
}

const rowsOf = (schema) => Object.entries(schema?.properties ?? {}).map(([name, value]) => {
  const fallback = value.default !== undefined && value.default !== null ? ` Default: ${value.default}.` : "";
  return [name, typeOf(value), (value.description ?? "") + fallback];
});

function operation(document, path, method, what) {
  const section = element("section", "", element("h2", "", element("code", `${method.toUpperCase()} ${path}`)),
    element("p", what.description ?? what.summary ?? ""));
  section.className = "panel";
  const parameters = (what.parameters ?? []).map((each) => [each.name, `${each.in}, ${typeOf(each.schema)}`, each.schema?.description ?? ""]);
  if (parameters.length) section.append(element("h3", "Parameters"), table(parameters));
  for (const [type, { schema }] of Object.entries(what.requestBody?.content ?? {})) {
    section.append(element("h3", `Body: ${type}`), table(rowsOf(document.components.schemas[typeOf(schema)] ?? schema)));
  }
  const answers = Object.entries(what.responses).map(([code, { description, content }]) =>
    [code, typeOf(Object.values(content ?? {})[0]?.schema), description]);
  section.append(element("h3", "Answers"), table(answers));
  return section;
}

const document_ = await (await fetch("/openapi.json")).json();
const sections = Object.entries(document_.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, what]) => operation(document_, path, method, what)));
const schemas = Object.entries(document_.components.schemas).map(([name, schema]) => {
  const section = element("section", "", element("h2", name), table(rowsOf(schema)));
  section.className = "panel";
  return section;
});
document.getElementById("operations").replaceChildren(...sections, element("h1", "Objects"), ...schemas);
