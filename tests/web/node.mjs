// node node.mjs SERVER NODE_MODULES

import { createRequire } from "node:module";
import { runJobs } from "./jobs.mjs";

const [server, modules] = process.argv.slice(2);
await runJobs(createRequire(`${modules}/`)("onnxruntime-node"), server);
