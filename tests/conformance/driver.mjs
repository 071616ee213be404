// Runs the suite's own client and prints what each test gave, as JSON on standard output.
// Usage: node driver.mjs --suite FOLDER --base URL [--proxy URL] [--at-once N] [--dump] [ID...]
import http from 'node:http'
import path from 'node:path'
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { pathToFileURL } from 'node:url'

const { values: given, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    suite: { type: 'string' },
    base: { type: 'string' },
    proxy: { type: 'string' },
    'at-once': { type: 'string', default: '100' },
    dump: { type: 'boolean', default: false }
  }
})
const load = file => import(pathToFileURL(path.join(given.suite, file)))
const fetch = createRequire(path.join(path.resolve(given.suite), 'package.json'))('node-fetch')

// The suite dumps messages to standard output, which is the report's.
console.log = console.error

// Asks a forward proxy as RFC 9112 section 3.2.2 has it: the whole URL in the request line.
class ForwardProxyAgent extends http.Agent {
  addRequest (request, options) {
    const { hostname, port } = new URL(given.proxy)
    request.path = `http://${options.host}:${options.port}${request.path}`
    super.addRequest(request, { ...options, host: hostname, port })
  }
}

const agent = given.proxy ? new ForwardProxyAgent() : undefined
const { runTests, getResults } = await load('client/runner.mjs')
const { default: groups } = await load('tests/index.mjs')

const chosen = groups.map(group => ({
  ...group,
  tests: group.tests.filter(test => wanted.length === 0 || wanted.includes(test.id))
}))
const tests = chosen.flatMap(group => group.tests)
tests.forEach(test => { test.dump = given.dump })

const atOnce = Number(given['at-once'])
await runTests(chosen, (url, init) => fetch(url, { ...init, agent }), false, given.base, atOnce)

const results = getResults()
const report = tests
  .filter(test => test.id in results)
  .map(({ id, name, kind }) => {
    const passed = results[id] === true
    return { id, name, kind: kind || 'required', passed, why: passed ? '' : results[id].join(': ') }
  })
process.stdout.write(JSON.stringify(report))
