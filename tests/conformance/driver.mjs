// Runs the suite's client against BASE, through PROXY where one is given, and prints what each test gave.
// Usage: node driver.mjs SUITE BASE [PROXY]
import http from 'node:http'
import path from 'node:path'
import process from 'node:process'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [suite, base, proxy] = process.argv.slice(2)
const load = file => import(pathToFileURL(path.join(suite, file)))
const fetch = createRequire(path.join(path.resolve(suite), 'package.json'))('node-fetch')

// Asks a forward proxy as RFC 9112 section 3.2.2 has it: the whole URL in the request line.
class ForwardProxyAgent extends http.Agent {
  addRequest (request, options) {
    const { hostname, port } = new URL(proxy)
    request.path = `http://${options.host}:${options.port}${request.path}`
    super.addRequest(request, { ...options, host: hostname, port })
  }
}

const agent = proxy ? new ForwardProxyAgent() : undefined
const { runTests, getResults } = await load('client/runner.mjs')
const { default: groups } = await load('tests/index.mjs')
const { default: surrogate } = await load('tests/surrogate-control.mjs')
groups.push(surrogate)

await runTests(groups, (url, init) => fetch(url, { ...init, agent }), false, base)

const results = getResults()
const report = groups.flatMap(group => group.tests)
  .filter(test => test.id in results)
  .map(({ id, name, kind, depends_on: needs }) => {
    const passed = results[id] === true
    return { id, name, kind: kind || 'required', needs: needs || [], passed, why: passed ? '' : results[id].join(': ') }
  })
console.log(JSON.stringify(report))
