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
# By program: its `reason`, a heading of docs/parity.md, and what is answered instead: `xml`, `json` and `logs`.
DEVIATIONS: dict[str, dict[str, Any]] = tomllib.loads((HERE / 'deviations.toml').read_text())
META = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': {'name': 'parity', 'version': '1'},
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/logLevel': 'info',
}


LEGACY = '2025-11-25'

# All programs in fresh isolates. Else they share legacy sessions, which keep no variables, but for a part of them.
LONG = os.environ.get('LONG') == '1'
# How many sessions a mode has, and which part of the programs has a fresh isolate.
SESSIONS = 2
FRESH_PART = 8
# What ends its interpreter or output, or finds these as others left them; and a file: a session gives it an address.
ALONE = frozenset({'os-exit', 'os-abort', 'closed-stdout', 'files', 'help', 'read-stdin'})
# What programs of packages.toml import, so that their session installs it all at once; but for sympy, which is large.
PACKAGES = 'import matplotlib, numpy, pandas, PIL, pydantic'


def post(mode: str, method: str, params: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    accept = {'accept': 'application/json, text/event-stream'}
    call = {'jsonrpc': '2.0', 'id': 1, 'method': method, 'params': params}
    return httpx.post(URLS[mode], json=call, headers={**accept, **headers}, timeout=300)


def read(response: httpx.Response) -> dict[str, Any]:
    """What was answered: `text` and `logs`, or `failure`."""
    if response.headers['content-type'].startswith('text/event-stream'):
        data = [line[5:] for line in response.text.split('\n') if line.startswith('data:') and line[5:].strip()]
    else:
        data = [response.text]
    *notifications, answer = map(json.loads, data)
    if 'error' in answer:
        return {'failure': answer['error']['message']}
    logs = [message['params'] for message in notifications if message['method'] == 'notifications/message']
    # Those with a name are not output: of packages being installed.
    logs = [params for params in logs if 'logger' not in params]
    return {
        'text': answer['result']['content'][0]['text'],
        'logs': [[params['level'], params['data']] for params in logs],
    }


def ask(mode: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The answer of a fresh isolate."""
    params = {'name': 'run_python_code', 'arguments': arguments, '_meta': META}
    headers = {'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'run_python_code'}
    return read(post(mode, 'tools/call', params, headers))


def ask_in_session(mode: str, programs: dict[str, dict[str, Any]], first: str = '') -> dict[str, dict[str, Any]]:
    """The answers of one legacy session, in which something runs first."""
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


# Which programs are asked in which mode: those with packages, which each server compiles for itself, in one.
ASKED = [(name, mode) for name in PROGRAMS for mode in MODES if LONG or mode == 'xml' or name not in NEED_PACKAGES]


def split(mode: str) -> tuple[list[str], list[list[str]], list[str]]:
    """The names of programs: those that get fresh isolates, those of each session, and those that import packages."""
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
    """All answers, by mode and program; asked for side by side."""
    found: dict[str, dict[str, dict[str, Any]]] = {mode: {} for mode in MODES}
    parts = {mode: split(mode) for mode in MODES}

    def of(names: list[str]) -> dict[str, dict[str, Any]]:
        return {name: PROGRAMS[name] for name in names}

    with ThreadPoolExecutor(4) as pool:
        # First: what takes long gets little of its time beside many others.
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
    """The original's answer, as far as we do not deviate from it."""
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
