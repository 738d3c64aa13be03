// Validates custom resources by models that were generated from their definitions: their values by
// the models' schemas, their fields (an unknown one is an error) by TypeScript and the models' types.
// usage: validate.mjs OVERLAY.json...      each is a list of resources
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as gateway from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1";
import * as monitoring from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import ts from "typescript";

const MODELS = {
  "gateway.networking.k8s.io/v1": [gateway, "@kubernetes-models/gateway-api"],
  "monitoring.coreos.com/v1": [monitoring, "@kubernetes-models/prometheus-operator"],
};

const files = process.argv.slice(2);
const found = files.flatMap((file) =>
  JSON.parse(readFileSync(file, "utf8"))
    .filter((resource) => resource.apiVersion in MODELS)
    .map((resource) => ({ place: `docker/k8s/${basename(file, ".json")}`, resource })),
);

function wrongValue({ place, resource }) {
  try {
    new MODELS[resource.apiVersion][0][resource.kind](resource).validate();
    return [];
  } catch (error) {
    return [`${place}: ${resource.kind} ${resource.metadata.name}: ${error.message}`];
  }
}

// One line of TypeScript for a resource.
function typed({ resource }, number) {
  const [, library] = MODELS[resource.apiVersion];
  const type = `import("${library}/${resource.apiVersion}").I${resource.kind}`;
  return `export const resource${number}: ${type} = ${JSON.stringify(resource)};`;
}

// The problems of each line.
function wrongFields(lines) {
  const path = join(import.meta.dirname ?? process.cwd(), "resources.ts");
  writeFileSync(path, lines.join("\n"));
  const program = ts.createProgram([path], {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [],
  });
  const problems = lines.map(() => []);
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const text = ts.flattenDiagnosticMessageText(messageText, " ");
    if (!file) throw new Error(text);
    problems[file.getLineAndCharacterOfPosition(start).line].push(text);
  }
  return problems;
}

// The same resource with an unknown field in its spec: the program must not accept everything.
const misspelt = ({ place, resource }) => ({
  place,
  resource: { ...resource, spec: { ...resource.spec, misspelt: 1 } },
});

const wrong = found.map(misspelt);
const fields = wrongFields([...found, ...wrong].map(typed));
const problems = found.flatMap((entry, i) => [
  ...wrongValue(entry),
  ...fields[i].map((text) => `${entry.place}: ${entry.resource.kind}: ${text}`),
]);
wrong.forEach(({ place, resource }, i) => {
  if (fields[found.length + i].length === 0) {
    problems.push(`${place}: the types of ${resource.kind} accept the field misspelt`);
  }
});
const kinds = [...new Set(found.map(({ resource }) => resource.kind))];
for (const kind of ["HTTPRoute", "PodMonitor", "PrometheusRule"]) {
  if (!kinds.includes(kind)) problems.push(`no overlay has a ${kind}`);
}
for (const problem of problems) console.error(`error: ${problem}`);
if (problems.length > 0) process.exit(1);
console.log(`docker/k8s: ${found.length} custom resources are valid (${kinds.join(", ")})`);
