use proptest::prelude::*;

use super::*;

fn found(code: &str) -> Vec<(String, bool)> {
    imports(code).unwrap().modules.into_iter().collect()
}

fn hard(names: &[&str]) -> Vec<(String, bool)> {
    names.iter().map(|name| ((*name).to_owned(), false)).collect()
}

#[test]
fn imports_are_found_wherever_they_are() {
    let code = r#"
"""import not_this"""
import a, b.c as d  # import nor_this
from e import *
from f import (g,
    h)
from . import relative
from .x import relative2
def function():
    import in_function
    class C:
        import in_class
async def other():
    async with x:
        import in_with
match x:
    case 1:
        import in_match
x = f"{import_ + 'import no'}"; import after_semicolon
if 1:
    pass
else:
    import in_else
"#;
    let names =
        ["a", "after_semicolon", "b.c", "e", "f.g", "f.h", "in_class", "in_else", "in_function", "in_match", "in_with"];
    assert_eq!(found(code), hard(&names));
}

#[test]
fn guarded_imports_are_told_apart() {
    let code = "
try:
    import a
except ImportError:
    import b
else:
    import c
try:
    import d
except (KeyError, builtins.ModuleNotFoundError):
    pass
try:
    import e
except ValueError:
    pass
try:
    import f
except:
    pass
with contextlib.suppress(ImportError):
    import g
import d
";
    let expected = [("a", true), ("b", true), ("c", false), ("d", false), ("e", false), ("f", true), ("g", true)];
    assert_eq!(found(code), expected.map(|(name, guarded)| (name.to_owned(), guarded)));
}

#[test]
fn imports_by_calls_are_guarded() {
    let code = "import importlib as il
a = __import__('a.b')
if x: il.import_module('c')
f(lambda: il.import_module(name='d'), import_module(e), il.import_module('not one'), __import__('.f'), __import__(''))
";
    let guarded = |name: &str| (name.to_owned(), true);
    assert_eq!(found(code), [guarded("a.b"), guarded("c"), ("importlib".into(), false)]);
}

#[test]
fn what_a_use_needs_is_known() {
    let needed = |code: &str| {
        let uses = imports(code).unwrap().uses;
        uses.iter().map(|used| used.distribution).collect::<Vec<_>>()
    };
    assert_eq!(needed("import pandas as pd\ndef f(d): return d.groupby('x').plot(kind='bar')"), ["matplotlib"]);
    assert_eq!(needed("from pandas import read_html\nx[0].to_markdown()"), ["lxml", "tabulate"]);
    assert_eq!(
        needed("import pandas\nwith pandas.ExcelWriter('f', engine='xlsxwriter') as w: 1"),
        ["openpyxl", "xlsxwriter"]
    );
    assert_eq!(needed("import pandas as pd\npd.date_range('2026', periods=3, tz='CET')"), ["tzdata"]);
    assert_eq!(needed("import pandas as pd\ndef f(s): return s.dt.tz_convert('CET')"), ["tzdata"]);
    assert_eq!(needed("import pandas as pd\nx.rolling(3, win_type='hann').mean()"), ["scipy"]);
    assert_eq!(needed("import plotly.express as px"), ["numpy", "pandas"]);
    assert_eq!(needed("from statsmodels.graphics.tsaplots import x"), ["matplotlib"]);
    assert_eq!(needed("from sympy import lambdify\nlambdify(x, y, 'numpy')"), ["numpy"]);
    assert_eq!(needed("from sympy.stats import Die, sample\nsample(Die('X', 6))"), ["scipy"]);
    assert_eq!(needed("from zoneinfo import ZoneInfo"), ["tzdata"]);
    assert_eq!(needed("import zoneinfo\nlen(zoneinfo.available_timezones())"), ["tzdata"]);
    assert_eq!(needed("from bs4 import BeautifulSoup\nBeautifulSoup(x, 'lxml')"), ["lxml"]);
    assert_eq!(needed("import numpy\nd.plot()\nplot()"), [""; 0]);
    assert_eq!(needed("import pandas\nx = f'{d.style}'; plot()"), ["jinja2"]);
}

#[test]
fn imports_for_type_checkers_are_none() {
    let code = "
if TYPE_CHECKING:
    import a
else:
    import b
if typing.TYPE_CHECKING:
    import c
";
    assert_eq!(found(code), hard(&["b"]));
}

#[test]
fn code_that_is_not_valid_imports_nothing() {
    for code in ["import a\nx = = 1", "import", "print 'x'; import a", "\0import a"] {
        assert_eq!(found(code), [], "{code}");
    }
}

#[test]
fn modules_are_present_or_have_a_distribution() {
    assert!(is_present("os.path") && is_present("js") && is_present("_sandbox.runner") && is_present("__main__"));
    assert!(!is_present("numpy") && !is_present("osx"));
    assert!(is_stood_in("IPython") && is_stood_in("IPython.display.HTML") && is_stood_in("IPython.get_ipython"));
    assert!(
        !is_stood_in("IPython.core.display.HTML") && !is_stood_in("IPython.display.Audio") && !is_stood_in("numpy")
    );
    assert_eq!(distribution("cv2"), "opencv-python");
    assert_eq!(distribution("google.protobuf.message"), "protobuf");
    assert_eq!(distribution("some_module.x"), "some_module");
}

/// Each of these nests `n` deep in its own way.
fn nested(n: usize) -> Vec<String> {
    vec![
        "(".repeat(n) + &")".repeat(n),
        "[".repeat(n),
        "f(".repeat(n) + &")".repeat(n),
        "a = ".to_owned() + &"-".repeat(n) + "1",
        "not ".repeat(n) + "a",
        "a".to_owned() + &".b".repeat(n),
        "f".to_owned() + &"()".repeat(n),
        "f".to_owned() + &"[0]".repeat(n),
        "1".to_owned() + &"+1".repeat(n),
        "1".to_owned() + &"**1".repeat(n),
        "lambda: ".repeat(n) + "1",
        "lambda a, b: ".repeat(n) + "1",
        "1 if 1 else ".repeat(n) + "1",
        "await ".repeat(n) + "a",
        "f'{".repeat(n) + "1" + &"}'".repeat(n),
        "{1:".repeat(n),
        (0..n).map(|level| " ".repeat(level) + "if 1:\n").collect::<String>() + &" ".repeat(n) + "1",
        "match a:\n case ".to_owned() + &"[".repeat(n) + &"]".repeat(n) + ": 1",
        "a".to_owned() + &" = a".repeat(n),
        "x: ".to_owned() + &"a[".repeat(n) + &"]".repeat(n),
        "*".repeat(n) + "a",
        "yield ".repeat(n),
        "(yield ".repeat(n),
        "a := ".repeat(n),
        "a and b or ".repeat(n) + "c",
        "for a in ".repeat(n),
        "[a ".to_owned() + &"for a in b if c ".repeat(n) + "]",
        "async ".repeat(n),
        "with ".repeat(n),
        "if 1: ".repeat(n),
        "else: ".repeat(n),
        "else:\n".repeat(n),
        "try:\n".repeat(n),
        "@a\n".repeat(n),
        "class ".repeat(n),
        "a;".repeat(n),
        "del ".repeat(n),
        "a, ".repeat(n),
        "\\\n".repeat(n),
    ]
}

/// Runs in a thread with no more stack than wasm has.
fn with_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn no_code_needs_more_stack_than_there_is() {
    with_small_stack(|| {
        for depth in [10, 90, 101, 300, 999, 1001, 20_000] {
            for code in nested(depth) {
                let _ = imports(&code);
            }
        }
    });
}

#[test]
fn long_code_is_not_deep() {
    let list = format!("import a\nx = [{}]", "-1, 'a' + f'{b.c}', {'k': (1, 2)}, lambda: 3,\n".repeat(50));
    assert_eq!(found(&list), hard(&["a"]));
    let lines = "x = f(a.b[1] + 2)\n".repeat(20_000) + "import a";
    assert_eq!(found(&lines), hard(&["a"]));
    let numbers = format!("import a\nx = [{}]", "-1.5, ".repeat(20_000));
    assert_eq!(found(&numbers), hard(&["a"]));
    assert_eq!(imports(&"(".repeat(MAX_NESTING + 1)), Err(TooDeep));
    // Unmatched closing brackets add no depth.
    assert!(imports(&")\n".repeat(MAX_NESTING + 1)).is_ok());
}

/// Pieces of Python.
const PIECES: &[&str] = &[
    "import a",
    "from b import c",
    "try:",
    "except ImportError:",
    "\n",
    "\n    ",
    "\n        ",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "f'",
    "f\"\"\"",
    "'",
    "\"\"\"",
    "{x!r:>{y}}",
    "lambda a:",
    "if",
    "else",
    ":",
    ",",
    "=",
    "not",
    "-",
    "async def f():",
    "class A:",
    "match x:",
    "case [a, *_]:",
    "with a as b:",
    "*",
    "**",
    ".",
    "@",
    "\\\n",
    "#",
    "\t",
    "\0",
    "\u{feff}",
    "\u{e9}",
    "1_000",
    "0x",
    "1e",
    "b'\\xff'",
    "t'{a}'",
    "yield",
    "await",
    "->",
    ":=",
    "type X =",
    "\r",
    "\u{2028}",
    "$",
    "!",
    "?",
    "r'",
    "\\N{DASH}",
    "'\\N{'",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_code_panics(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        let _ = imports(&pieces.concat());
        let _ = imports(&pieces.join(" "));
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = imports(&text);
    }
}
