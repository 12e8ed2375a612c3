//! The modules that code imports, by Python's grammar, and the distributions that have them.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::{
    ExceptHandler, Expr, ExprCall, Stmt,
    token::TokenKind,
    visitor::{Visitor, walk_expr, walk_stmt},
};
use ruff_python_parser::{Mode, lexer::lex, parse_module};

use crate::limits::{MAX_IMPORTS, MAX_NESTING};

/// Modules that are there without any package: the standard library's (`sys.stdlib_module_names` of Python 3.14)
/// and Pyodide's own.
const PRESENT: &str = include_str!("present.txt");

/// Modules whose distribution has another name and is not in the lock file, which knows the names of its own.
const DISTRIBUTIONS: &str = include_str!("distributions.txt");

/// What a module needs at run time when it is used in a certain way: a module that the code imports, a name that it uses
/// (an attribute, an imported name or a whole string), and the distribution that is needed then.
const USES: &str = include_str!("uses.txt");

/// A use of a module that needs a distribution which nobody imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Use {
    /// The module that the code imports.
    pub of: &'static str,
    /// What it uses of it.
    pub name: &'static str,
    /// What that needs.
    pub distribution: &'static str,
}

/// What is known of such uses.
fn uses() -> impl Iterator<Item = Use> {
    USES.lines().filter_map(|line| {
        let (of, rest) = line.split_once(' ')?;
        let (name, distribution) = rest.split_once(' ')?;
        Some(Use { of, name, distribution })
    })
}

/// What code imports.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Modules by name, and whether the import is guarded: the code goes on without it.
    pub modules: BTreeMap<String, bool>,
    /// What is likely to be needed by what it imports.
    pub uses: BTreeSet<Use>,
}

/// What may not nest deeper, or the grammar is not asked: its parser recurses, and the stack is small in wasm.
/// CPython itself gives up at about 100 brackets, and at 100 levels of indentation.
#[derive(Debug, PartialEq, Eq)]
pub struct TooDeep;

/// What code imports.
///
/// An import inside a `try` that catches `ImportError`, or in its handlers, is guarded. Imports under
/// `if TYPE_CHECKING` and relative ones are none. `__import__` and `importlib.import_module` of a constant are guarded
/// imports: nobody knows whether they are reached. Code that is not valid imports nothing: Python says what is wrong.
///
/// # Errors
/// [`TooDeep`]
pub fn imports(code: &str) -> Result<Imports, TooDeep> {
    if is_deep(code) {
        return Err(TooDeep);
    }
    let Ok(module) = parse_module(code) else { return Ok(Imports::default()) };
    let mut found = Found::default();
    found.visit_body(module.suite());
    let Found { modules, names, .. } = found;
    let imported = |of: &str| modules.keys().any(|module| module.split('.').next() == Some(of));
    let uses = uses().filter(|used| names.contains(used.name) && imported(used.of)).collect();
    Ok(Imports { modules, uses })
}

/// Whether a module is there without any package.
#[must_use]
pub fn is_present(module: &str) -> bool {
    let top = module.split('.').next().unwrap_or(module);
    top.starts_with('_') || PRESENT.split_whitespace().any(|present| present == top)
}

/// The name under which an index may have a module that the lock file does not.
#[must_use]
pub fn distribution(module: &str) -> &str {
    let known = |module: &str| {
        DISTRIBUTIONS
            .lines()
            .find_map(|line| line.split_once(' ').filter(|(name, _)| *name == module))
            .map(|(_, name)| name)
    };
    let mut part = module;
    loop {
        if let Some(name) = known(part) {
            return name;
        }
        match part.rsplit_once('.') {
            Some((parent, _)) => part = parent,
            None => return part,
        }
    }
}

#[derive(Default)]
struct Found {
    modules: BTreeMap<String, bool>,
    /// Names of [`USES`] that are used.
    names: BTreeSet<&'static str>,
    /// How many guards there are around the statement that is visited.
    guards: usize,
}

impl Found {
    fn add(&mut self, module: String) {
        if self.modules.len() < MAX_IMPORTS {
            let guarded = self.guards > 0;
            self.modules.entry(module).and_modify(|other| *other &= guarded).or_insert(guarded);
        }
    }

    fn name(&mut self, name: &str) {
        self.names.extend(uses().map(|used| used.name).find(|known| *known == name));
    }

    /// An import by a call.
    fn call(&mut self, call: &ExprCall) {
        if matches!(name(&call.func), Some("__import__" | "import_module"))
            && let Some(Expr::StringLiteral(module)) = call.arguments.args.first()
            // Anything else is no module's name.
            && module.value.to_str().split('.').all(|part| !part.is_empty() && part.chars().all(is_of_name))
        {
            self.guarded(true, |found| found.add(module.value.to_string()));
        }
    }

    fn guarded(&mut self, guarded: bool, visit: impl FnOnce(&mut Self)) {
        self.guards += usize::from(guarded);
        visit(self);
        self.guards -= usize::from(guarded);
    }
}

impl<'a> Visitor<'a> for Found {
    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Attribute(attribute) => self.name(attribute.attr.as_str()),
            Expr::StringLiteral(text) => self.name(text.value.to_str()),
            Expr::Call(call) => self.call(call),
            _ => {}
        }
        walk_expr(self, expression);
    }

    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    self.add(alias.name.to_string());
                }
            }
            Stmt::ImportFrom(import) if import.level == 0 => {
                let Some(module) = &import.module else { return };
                // What is imported may be a module itself, as in `from ruamel import yaml`.
                for alias in &import.names {
                    self.name(&alias.name);
                    self.add(if &*alias.name == "*" { module.to_string() } else { format!("{module}.{}", alias.name) });
                }
            }
            Stmt::Try(block) => {
                let catches = block.handlers.iter().any(catches_import_error);
                self.guarded(catches, |found| {
                    found.visit_body(&block.body);
                    for handler in &block.handlers {
                        found.visit_except_handler(handler);
                    }
                });
                self.visit_body(&block.orelse);
                self.visit_body(&block.finalbody);
            }
            Stmt::With(block) => {
                let suppresses = block.items.iter().any(|item| match &item.context_expr {
                    Expr::Call(call) => {
                        name(&call.func) == Some("suppress") && call.arguments.args.iter().any(is_import_error)
                    }
                    _ => false,
                });
                for item in &block.items {
                    self.visit_with_item(item);
                }
                self.guarded(suppresses, |found| found.visit_body(&block.body));
            }
            Stmt::If(block) if name(&block.test) == Some("TYPE_CHECKING") => {
                for clause in &block.elif_else_clauses {
                    self.visit_elif_else_clause(clause);
                }
            }
            _ => walk_stmt(self, statement),
        }
    }
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn catches_import_error(handler: &ExceptHandler) -> bool {
    let ExceptHandler::ExceptHandler(handler) = handler;
    match handler.type_.as_deref() {
        None => true,
        Some(Expr::Tuple(types)) => types.elts.iter().any(is_import_error),
        Some(exception) => is_import_error(exception),
    }
}

fn is_import_error(exception: &Expr) -> bool {
    matches!(name(exception), Some("ImportError" | "ModuleNotFoundError" | "Exception" | "BaseException"))
}

/// The last part of a dotted name.
fn name(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Name(name) => Some(name.id.as_str()),
        Expr::Attribute(attribute) => Some(attribute.attr.as_str()),
        _ => None,
    }
}

/// Whether the parser, the tree or the end of the tree could need more stack than there is, told by the lexer, which
/// does not recurse. Brackets and blocks nest; so do chains of operators, calls and `lambda`s, up to the next comma.
fn is_deep(code: &str) -> bool {
    let mut lexer = lex(code, Mode::Module);
    let mut blocks = 0_usize;
    // For each open bracket: links of its current chain, and lambdas, which a comma does not end.
    let mut open = vec![(0_usize, 0_usize)];
    let mut links = 0;
    loop {
        let kind = lexer.next_token();
        let depth = open.len();
        let Some((chain, lambdas)) = open.last_mut() else { return true };
        match kind {
            TokenKind::EndOfFile => return false,
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart => {
                *chain += 1;
                links += 1;
                open.push((0, 0));
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd | TokenKind::TStringEnd
                if depth > 1 =>
            {
                open.pop().inspect(|(chain, lambdas)| links -= chain + lambdas);
            }
            TokenKind::Comma => links -= std::mem::take(chain),
            TokenKind::Newline | TokenKind::Semi => {
                open.truncate(1);
                open.fill((0, 0));
                links = 0;
            }
            TokenKind::Lambda => {
                *lambdas += 1;
                links += 1;
            }
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline => {}
            _ => {
                *chain += 1;
                links += 1;
            }
        }
        if blocks > MAX_NESTING || open.len() > MAX_NESTING || links > 10 * MAX_NESTING {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
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
        let names = [
            "a",
            "after_semicolon",
            "b.c",
            "e",
            "f.g",
            "f.h",
            "in_class",
            "in_else",
            "in_function",
            "in_match",
            "in_with",
        ];
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
        assert_eq!(needed("from zoneinfo import ZoneInfo"), ["tzdata"]);
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
}
