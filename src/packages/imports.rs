//! The modules that code imports, by Python's grammar, and the distributions that have them.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::PackageName;
use ruff_python_ast::{
    ExceptHandler, Expr, ExprCall, Keyword, Stmt,
    token::TokenKind,
    visitor::{Visitor, walk_expr, walk_keyword, walk_stmt},
};
use ruff_python_parser::{Mode, lexer::lex, parse_module};

use super::requirement::name_of;
use crate::limits::{MAX_IMPORTS, MAX_NESTING};

/// Modules that are there without any package: the standard library's (`sys.stdlib_module_names` of Python 3.14)
/// and Pyodide's own.
const PRESENT: &str = include_str!("present.txt");

/// The names of `IPython.display` that `runtime/python/ipython.py` has. Code that imports more of IPython gets the
/// package, which knows nothing of results.
const OF_IPYTHON: [&str; 11] =
    ["DisplayObject", "HTML", "Image", "JSON", "Latex", "Markdown", "Math", "Pretty", "SVG", "clear_output", "display"];

/// Modules whose distribution has another name and is not in the lock file, which knows the names of its own.
const DISTRIBUTIONS: &str = include_str!("distributions.txt");

/// Distributions that a module needs at run time when it is used in a certain way. Each line has a module that the code
/// imports, a name that it uses (an attribute, an imported name or module, a keyword of a call or a whole string), and
/// the distribution that this needs.
const USES: &str = include_str!("uses.txt");

/// A use of a module that needs a distribution which the code does not import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Use {
    /// The module that the code imports.
    pub of: &'static str,
    /// The name that the code uses.
    pub name: &'static str,
    /// The distribution that this needs.
    pub distribution: &'static str,
}

/// Parses [`USES`].
fn uses() -> impl Iterator<Item = Use> {
    USES.lines().filter_map(|line| {
        let (of, rest) = line.split_once(' ')?;
        let (name, distribution) = rest.split_once(' ')?;
        Some(Use { of, name, distribution })
    })
}

/// The imports of code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Modules by name, and whether the import is guarded: the code goes on without it.
    pub modules: BTreeMap<String, bool>,
    /// Uses that are likely to need further distributions.
    pub uses: BTreeSet<Use>,
}

/// Code that nests deeper is not parsed: the parser recurses, and wasm's stack is small.
/// CPython itself gives up at about 100 brackets, and at 100 levels of indentation.
#[derive(Debug, PartialEq, Eq)]
pub struct TooDeep;

/// Returns what code imports.
///
/// An import inside a `try` that catches `ImportError`, or in its handlers, is guarded. Imports under
/// `if TYPE_CHECKING` and relative ones do not count. `__import__` and `importlib.import_module` of a constant are
/// guarded imports, as they may never be reached. Invalid code imports nothing: Python says what is wrong.
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

/// Whether a module, or what is imported from it, has a built-in stand-in, used unless its distribution is asked for.
#[must_use]
pub fn is_stood_in(module: &str) -> bool {
    matches!(module, "IPython" | "IPython.display" | "IPython.get_ipython")
        || module.strip_prefix("IPython.display.").is_some_and(|name| OF_IPYTHON.contains(&name))
}

/// Returns the name under which an index may have a module that the lock file does not have.
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

/// Whether a distribution is named in the lists here.
#[must_use]
pub fn is_known(name: &PackageName) -> bool {
    let known = DISTRIBUTIONS.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name);
    known.chain(uses().map(|used| used.distribution)).any(|known| name_of(known).as_ref() == Some(name))
}

/// Whether code has this name in it, as a word.
#[must_use]
pub fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        let after = code.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.into_iter().chain(after).any(is_of_name)
    })
}

#[derive(Default)]
struct Found {
    modules: BTreeMap<String, bool>,
    /// Names of [`USES`] that are used.
    names: BTreeSet<&'static str>,
    /// How many guards surround the statement that is visited.
    guards: usize,
}

impl Found {
    fn add(&mut self, module: String) {
        if self.modules.len() < MAX_IMPORTS {
            let guarded = self.guards > 0;
            self.modules.entry(module).and_modify(|other| *other &= guarded).or_insert(guarded);
        }
    }

    /// Notes an imported module as a use of the modules that it is a part of.
    fn module(&mut self, name: &str) {
        let (_, parts) = name.split_once('.').unwrap_or_default();
        for part in parts.split('.') {
            self.name(part);
        }
    }

    fn name(&mut self, name: &str) {
        self.names.extend(uses().map(|used| used.name).find(|known| *known == name));
    }

    /// An import by a call.
    fn call(&mut self, call: &ExprCall) {
        if matches!(name(&call.func), Some("__import__" | "import_module"))
            && let Some(Expr::StringLiteral(module)) = call.arguments.args.first()
            // Anything else is not a module's name.
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

    fn visit_keyword(&mut self, keyword: &'a Keyword) {
        if let Some(name) = &keyword.arg {
            self.name(name);
        }
        walk_keyword(self, keyword);
    }

    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    self.module(&alias.name);
                    self.add(alias.name.to_string());
                }
            }
            Stmt::ImportFrom(import) if import.level == 0 => {
                let Some(module) = &import.module else { return };
                self.module(module);
                // An imported name may be a module itself, as in `from ruamel import yaml`.
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

/// Whether the parser, or visiting or dropping the tree, could need more stack than there is, as told by the lexer,
/// which does not recurse. Brackets and blocks nest; so do chains of operators, calls and `lambda`s, up to the next
/// comma.
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
#[path = "imports_tests.rs"]
mod tests;
