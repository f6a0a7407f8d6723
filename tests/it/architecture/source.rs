//! What a crate's sources name, module by module.
//!
//! The sources are cut into tokens, so comments and strings are not taken for code, and what stands within a macro is
//! not missed. Modules and code that exist only for tests are left out.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// A module that is a file of its own, or the modules that stand within that file.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// `store::claim`; empty for the root.
    pub(super) name: String,
    pub(super) file: PathBuf,
    /// All it names.
    pub(super) paths: Vec<Named>,
}

impl Module {
    /// Whether it is that module, or one below it.
    pub(super) fn is_within(&self, name: &str) -> bool {
        starts_with(&self.name, name)
    }
}

/// A path as it was written, `use` groups taken apart, `self` and `super` resolved to `crate::…`; a macro ends in `!`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) text: String,
    pub(super) line: usize,
}

impl Named {
    /// Whether it is `name`, or below it. `aws_` stands for every crate that begins so, and `hyper` for `hyper_util` too.
    pub(super) fn is_within(&self, name: &str) -> bool {
        let first = self.text.split("::").next().unwrap_or_default();
        let family = name.strip_suffix('_').unwrap_or(name);
        starts_with(&self.text, name) || first.strip_prefix(family).is_some_and(|rest| rest.starts_with('_'))
    }
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The root module in `file` and every module that it leads to.
pub(super) fn modules(file: &Path) -> Vec<Module> {
    let mut found = Vec::new();
    read(file, &[], &mut found);
    found
}

fn read(file: &Path, name: &[String], found: &mut Vec<Module>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut scan = Scan::default();
    scan.items(tokens, name);
    found.push(Module { name: name.join("::"), file: file.into(), paths: scan.paths });

    // `store.rs` and `store/mod.rs` both have their modules in `store`; so do `lib.rs` and `main.rs` in their folder.
    let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
    let folder = match stem {
        "lib" | "main" | "mod" => file.parent().expect("a folder").to_path_buf(),
        _ => file.with_extension(""),
    };
    for module in scan.modules {
        let child: Vec<_> = name.iter().cloned().chain(iter::once(module)).collect();
        let last = child.last().expect("just added");
        let flat = folder.join(format!("{last}.rs"));
        read(&if flat.exists() { flat } else { folder.join(last).join("mod.rs") }, &child, found);
    }
}

#[derive(Default)]
struct Scan {
    paths: Vec<Named>,
    /// Modules in files of their own.
    modules: Vec<String>,
}

impl Scan {
    fn items(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at..] {
                [TokenTree::Punct(hash), TokenTree::Group(group), ..]
                    if hash.as_char() == '#' && is_test(group) =>
                {
                    at = after_item(&tokens, at + 2);
                }
                [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(end), ..]
                    if word == "mod" && end.as_char() == ';' =>
                {
                    self.modules.push(name.to_string());
                    at += 3;
                }
                [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..]
                    if word == "mod" =>
                {
                    let child: Vec<_> = module.iter().cloned().chain(iter::once(name.to_string())).collect();
                    self.items(body.stream(), &child);
                    at += 3;
                }
                [TokenTree::Ident(_), ..] => at = self.path(&tokens, at, &[], module),
                [TokenTree::Group(group), ..] => {
                    self.items(group.stream(), module);
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// Reads one path, or a whole `use` tree below `prefix`, and returns where it ends.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &[String], module: &[String]) -> usize {
        let mut parts = prefix.to_vec();
        let line = tokens[at].span().start().line;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(part)) => parts.push(part.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    let mut next = 0;
                    while next < inner.len() {
                        next = match &inner[next] {
                            TokenTree::Ident(word) if word == "as" => next + 2,
                            TokenTree::Ident(_) => self.path(&inner, next, &parts, module),
                            _ => next + 1,
                        };
                    }
                    return at + 1;
                }
                // `a::<T>` and `a::*`: what stands there is looked at next.
                _ => break,
            }
            at += 1;
            if !is_colons(tokens, at) {
                break;
            }
            at += 2;
        }
        let mut text = resolve(&parts, module);
        if is_bang(tokens, at) {
            text.push('!');
        }
        self.paths.push(Named { text, line });
        at
    }
}

/// `::`.
fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon = |at| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    is_colon(at) && is_colon(at + 1)
}

/// `!` of a macro, which is not that of `a != b`.
fn is_bang(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == '!' && punct.spacing() == Spacing::Alone)
}

/// `[cfg(test)]`.
fn is_test(attribute: &Group) -> bool {
    attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Where an item ends: after its semicolon or its braces.
fn after_item(tokens: &[TokenTree], from: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    tokens[from..].iter().position(ends).map_or(tokens.len(), |length| from + length + 1)
}

/// Makes `self`, `super` and `crate` at the beginning, and `self` at the end of a `use`, one unmistakable path.
fn resolve(parts: &[String], module: &[String]) -> String {
    let mut base: Option<Vec<String>> = None;
    let mut rest = parts;
    while let [first, more @ ..] = rest {
        base = match (first.as_str(), base) {
            ("crate", None) => Some(Vec::new()),
            ("self", None) => Some(module.to_vec()),
            ("super", None) => Some(module[..module.len().saturating_sub(1)].to_vec()),
            ("super", Some(mut upper)) => {
                upper.pop();
                Some(upper)
            }
            (_, base) => {
                let rest = rest.iter().filter(|part| *part != "self").map(String::as_str);
                let absolute =
                    base.iter().flat_map(|base| iter::once("crate").chain(base.iter().map(String::as_str)));
                return absolute.chain(rest).collect::<Vec<_>>().join("::");
            }
        };
        rest = more;
    }
    iter::once("crate").chain(base.iter().flatten().map(String::as_str)).collect::<Vec<_>>().join("::")
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let source = r#"
        use std::{fs, net::{self, TcpStream as Stream}};
        use super::super::store::{Session, claim::*};
        /// Not sqlx::comments.
        #[sqlx::attribute]
        fn f(text: &'static str) -> Vec<hyper::Body> {
            let _ = "sqlx::strings";
            vec![aws_sdk_sqs::Client::<tokio::X>::new(), <u8 as serde::Trait>::call()]
        }
        mod file;
        mod inner { use super::sibling; }
        #[cfg(test)]
        mod tests { use sqlx::Row; }
        #[cfg(test)]
        use sqlx::Row;
        #[cfg(not(test))]
        use lettre::Message;
    "#;
    let mut scan = Scan::default();
    scan.items(source.parse().expect("tokens"), &["email".into(), "body".into()]);
    let found: Vec<_> = scan.paths.iter().map(|path| path.text.as_str()).collect();
    for path in [
        "std::fs",
        "std::net",
        "std::net::TcpStream",
        "crate::store::Session",
        "crate::store::claim",
        "sqlx::attribute",
        "hyper::Body",
        "aws_sdk_sqs::Client",
        "tokio::X",
        "serde::Trait",
        "crate::email::body::sibling",
        "vec!",
        "lettre::Message",
    ] {
        assert!(found.contains(&path), "{path} in {found:?}");
    }
    assert!(
        !found
            .iter()
            .any(|path| path.contains("comments") || path.contains("strings") || path.contains("Row"))
    );
    assert_eq!(scan.modules, ["file"]);
}

#[test]
fn a_name_stands_for_what_is_below_it() {
    let named = |text: &str| Named { text: text.into(), line: 1 };
    assert!(named("std::fs::read").is_within("std::fs"));
    assert!(named("aws_sdk_sesv2::Client").is_within("aws_"));
    assert!(named("hyper_util::rt").is_within("hyper"));
    assert!(!named("std::fsx").is_within("std::fs"));
    assert!(!named("crate::session::X").is_within("crate::ses"));
    assert!(!named("aws::access").is_within("aws_"));
}
