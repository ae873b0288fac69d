// Runs what /jobs.json lists, in Node and in a browser alike, and posts every output's bytes back.

const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

export async function runJobs(ort, server) {
  const at = (path) => new URL(path, server);
  const post = (path, body) => fetch(at(path), { method: "POST", body });
  try {
    for (const { model, feeds } of await (await fetch(at("/jobs.json"))).json()) {
      const session = await ort.InferenceSession.create(await bytes(at(model)));
      for (const [feed, { path, dims }] of Object.entries(feeds)) {
        const images = new ort.Tensor("uint8", await bytes(at(path)), dims);
        const outputs = await session.run({ images });
        for (const [name, tensor] of Object.entries(outputs)) {
          const header = new URLSearchParams({ feed, name, type: tensor.type, dims: tensor.dims.join() });
          await post(`/output?${header}`, tensor.data);
        }
      }
      await session.release();
    }
    await post("/done", "");
  } catch (error) {
    await post("/done", String(error.stack ?? error));
  }
}
