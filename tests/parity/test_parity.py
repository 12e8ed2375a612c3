"""Every program gives the original's answer, or deviates for a reason that docs/parity.md gives."""

import json
import os
import tomllib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from programs import HERE, MODES, NEED_PACKAGES, golden, normalize, programs

PROGRAMS = programs()
URLS = {'xml': os.environ['MCP_URL'], 'json': os.environ['MCP_JSON_URL']}
# By program: the `reason`, a heading of docs/parity.md, and our different answer: `xml`, `json` and `logs`.
DEVIATIONS: dict[str, dict[str, Any]] = tomllib.loads((HERE / 'deviations.toml').read_text())
META = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': {'name': 'parity', 'version': '1'},
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/logLevel': 'info',
}


LEGACY = '2025-11-25'

# With LONG=1, every program without packages gets a fresh isolate. Otherwise most share legacy sessions, which keep no
# variables.
LONG = os.environ.get('LONG') == '1'
# How many sessions each mode has, and that one in so many programs gets a fresh isolate.
SESSIONS = 2
FRESH_PART = 8
# Programs that always get a fresh isolate: they break or depend on the state of the interpreter or its output, or write
# a file, which has an address in a session.
ALONE = frozenset({'os-exit', 'os-abort', 'closed-stdout', 'files', 'help', 'read-stdin'})
# What the programs of packages.toml import: their session installs it all at once. Not sympy, which is large.
PACKAGES = 'import matplotlib, numpy, pandas, PIL, pydantic'


def post(mode: str, method: str, params: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    accept = {'accept': 'application/json, text/event-stream'}
    call = {'jsonrpc': '2.0', 'id': 1, 'method': method, 'params': params}
    return httpx.post(URLS[mode], json=call, headers={**accept, **headers}, timeout=300)


def read(response: httpx.Response) -> dict[str, Any]:
    """Reads an answer: `text` and `logs`, or `failure`."""
    if response.headers['content-type'].startswith('text/event-stream'):
        data = [line[5:] for line in response.text.split('\n') if line.startswith('data:') and line[5:].strip()]
    else:
        data = [response.text]
    *notifications, answer = map(json.loads, data)
    if 'error' in answer:
        return {'failure': answer['error']['message']}
    logs = [message['params'] for message in notifications if message['method'] == 'notifications/message']
    # Messages with a logger are not output: they tell of packages being installed.
    logs = [params for params in logs if 'logger' not in params]
    return {
        'text': answer['result']['content'][0]['text'],
        'logs': [[params['level'], params['data']] for params in logs],
    }


def ask(mode: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the answer of a fresh isolate."""
    params = {'name': 'run_python_code', 'arguments': arguments, '_meta': META}
    headers = {'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'run_python_code'}
    return read(post(mode, 'tools/call', params, headers))


def ask_in_session(mode: str, programs: dict[str, dict[str, Any]], first: str = '') -> dict[str, dict[str, Any]]:
    """Returns the answers of one legacy session, in which the code `first` runs before the programs."""
    client = {'name': 'parity', 'version': '1'}
    hello = {'protocolVersion': LEGACY, 'capabilities': {}, 'clientInfo': client}
    session = post(mode, 'initialize', hello, {}).headers['mcp-session-id']
    headers = {'mcp-session-id': session, 'mcp-protocol-version': LEGACY}
    post(mode, 'logging/setLevel', {'level': 'info'}, headers)

    def call(arguments: dict[str, Any]) -> dict[str, Any]:
        return read(post(mode, 'tools/call', {'name': 'run_python_code', 'arguments': arguments}, headers))

    if first:
        assert 'success' in call({'python_code': first})['text']
    return {name: call(arguments) for name, arguments in programs.items()}


# The programs and modes to test. Programs with packages run in one mode only, unless LONG=1: each server has to compile
# packages for itself.
ASKED = [(name, mode) for name in PROGRAMS for mode in MODES if LONG or mode == 'xml' or name not in NEED_PACKAGES]


def split(mode: str) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns names of programs: those for fresh isolates, those of each session, and those that import packages."""
    names = [name for name, of in ASKED if of == mode]
    packages = [name for name in names if name in NEED_PACKAGES and not name.startswith('sympy')]
    others = [name for name in names if name not in packages]
    if LONG:
        return others, [], packages
    sample = set(others[::FRESH_PART])
    fresh = [name for name in others if name in sample or name in ALONE or name.startswith('sympy')]
    shared = [name for name in others if name not in fresh]
    return fresh, [shared[n::SESSIONS] for n in range(SESSIONS)], packages


@pytest.fixture(scope='session')
def answers() -> dict[str, dict[str, dict[str, Any]]]:
    """All answers, by mode and program, requested in parallel."""
    found: dict[str, dict[str, dict[str, Any]]] = {mode: {} for mode in MODES}
    parts = {mode: split(mode) for mode in MODES}

    def of(names: list[str]) -> dict[str, dict[str, Any]]:
        return {name: PROGRAMS[name] for name in names}

    with ThreadPoolExecutor(4) as pool:
        # Packages first: they take long, and would be slower still beside many other programs.
        with_packages = [(mode, of(packages)) for mode, (*_, packages) in parts.items() if packages]
        for (mode, _), answers in zip(
            with_packages,
            pool.map(lambda part: ask_in_session(*part, PACKAGES), with_packages),
            strict=True,
        ):
            found[mode] |= answers
        sessions = [
            (mode, pool.submit(ask_in_session, mode, of(names)))
            for mode, (_, shared, _) in parts.items()
            for names in shared
        ]
        isolates = [
            (mode, name, pool.submit(ask, mode, PROGRAMS[name]))
            for mode, (fresh, *_) in parts.items()
            for name in fresh
        ]
        for mode, name, answer in isolates:
            found[mode][name] = answer.result()
        for mode, session in sessions:
            found[mode] |= session.result()
    return found


def expected(name: str, mode: str) -> dict[str, Any]:
    """Returns the expected answer: the original's, or our deviation from it."""
    original, deviation = golden(mode)[name], DEVIATIONS.get(name, {})
    if mode not in deviation:
        return original
    return {'text': deviation[mode], 'logs': deviation.get('logs', original.get('logs', []))}


@pytest.mark.parametrize(('name', 'mode'), ASKED)
def test_answer(name: str, mode: str, answers: dict[str, dict[str, dict[str, Any]]]) -> None:
    answer, wanted = normalize(answers[mode][name]), normalize(expected(name, mode))
    assert answer.get('text') == wanted.get('text')
    assert answer.get('logs') == wanted.get('logs')


def test_deviations_deviate_and_have_a_reason() -> None:
    headings = [line.removeprefix('## ') for line in (HERE / '../../docs/parity.md').read_text().split('\n')]
    for name, deviation in DEVIATIONS.items():
        assert deviation['reason'] in headings, name
        for mode in set(MODES) & set(deviation):
            assert normalize(golden(mode)[name]) != normalize(expected(name, mode)), f'{name}: no deviation in {mode}'
