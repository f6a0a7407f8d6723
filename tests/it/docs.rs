//! What the documentation says, held against what there is: links, commands and their options, parameters, outputs.

mod markdown;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use stack::install::workspace;

use self::markdown::{Page, words};
use crate::world::function_binary;

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut links = 0;
    for (path, page) in &pages {
        for link in page.links().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, place) =
                link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place)));
            let folder = path.parent().expect("a file lies in a folder");
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            let Ok(target) = target.canonicalize() else {
                panic!("{}: ({link}) leads nowhere", path.display());
            };
            if let Some(place) = place {
                let there = pages.get(&target).is_some_and(|page| page.places().contains(place));
                assert!(there, "{}: ({link}) has no such heading", path.display());
            }
            links += 1;
        }
    }
    assert!(links > 100, "only {links} links were found");
}

#[test]
fn files_that_are_named_exist() {
    const FOLDERS: [&str; 8] =
        ["crates/", "functions/", "tests/", "infra/", "xtask/", "events/", "docs/", ".github/"];
    let mut files = 0;
    for (path, page) in pages() {
        for span in page.spans().filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder))) {
            // A pattern, a placeholder, or an item behind the file's name.
            let file = span.split("::").next().expect("a first part");
            if file.contains(['*', '…', ' ', '<', ',']) || file.contains("NN") {
                continue;
            }
            assert!(workspace().join(file).exists(), "{}: there is no {file}", path.display());
            files += 1;
        }
    }
    assert!(files > 100, "only {files} files were found");
}

#[test]
fn commands_that_are_named_exist() {
    let mut commands = BTreeMap::new();
    let mut found = BTreeSet::new();
    let workflow = workspace().join(".github/workflows/ci.yml");
    let steps = fs::read_to_string(&workflow).expect("the workflow").replace("- run: ", "");
    let workflow = (workflow, Page::new(format!("```sh\n{steps}\n```")));
    for (path, page) in pages().into_iter().chain([workflow]) {
        for line in page.commands() {
            for (program, binary) in [("cargo xtask", "xtask"), ("sendonce", "sendonce")] {
                let Some(rest) = line.strip_prefix(program).filter(|rest| rest.starts_with(' ')) else {
                    continue;
                };
                let mut words = words(rest).into_iter();
                let Some(name) = words.next().filter(|word| is_name(word)) else {
                    continue;
                };
                let options: Vec<_> = words.collect();
                let help = |of: &[&str]| help(binary, of);
                let known =
                    commands.entry((binary, String::new())).or_insert_with(|| help(&["--help"])).clone();
                assert!(
                    known.lines().any(|line| line.split_whitespace().next() == Some(&name)),
                    "{}: `{program} {name}` is no command",
                    path.display()
                );
                let known =
                    commands.entry((binary, name.clone())).or_insert_with(|| help(&[&name, "--help"]));
                for option in options.iter().filter(|word| word.starts_with("--")) {
                    let option = option.split('=').next().expect("a first part").trim_end_matches(']');
                    assert!(
                        known.split([' ', ',', '\n', '[', ']']).any(|word| word == option),
                        "{}: `{program} {name}` has no {option}",
                        path.display()
                    );
                }
                found.insert((binary, name));
            }
        }
    }
    assert!(found.len() > 12, "only {found:?} were found");
}

#[test]
fn parameters_that_are_named_exist_and_take_those_values() {
    let template = template();
    let parameters = &template.parameters;
    // The nested stacks have some of their own.
    let nested: Vec<Template> = ["network", "database", "broker", "observability"]
        .map(|name| Template::read(&workspace().join(format!("infra/{name}.yaml"))))
        .into();
    let mut deployments = 0;
    for (path, page) in pages() {
        let path = path.display();
        for (name, value) in page.spans().filter_map(assignment) {
            let mut all = std::iter::once(&template).chain(&nested);
            let parameter = all.find_map(|template| template.parameters.get(name));
            assert!(parameter.is_some(), "{path}: there is no parameter {name}");
            assert!(
                parameter.is_some_and(|known| known.takes(value)),
                "{path}: {name} does not take {value}"
            );
        }
        for command in page.commands().filter(|command| command.starts_with("sam deploy")) {
            let words = words(&command);
            let Some(at) = words.iter().position(|word| word == "--parameter-overrides") else {
                continue;
            };
            let given: BTreeMap<&str, &str> = words[at + 1..]
                .iter()
                .take_while(|word| !word.starts_with("--"))
                .map(|word| word.split_once('=').unwrap_or_else(|| panic!("{path}: {word} is no parameter")))
                .collect();
            for (name, value) in &given {
                let Some(parameter) = parameters.get(*name) else {
                    panic!("{path}: template.yaml has no parameter {name}");
                };
                assert!(parameter.takes(value), "{path}: {name} does not take {value}");
            }
            for (name, parameter) in parameters {
                assert!(
                    !parameter.is_required || given.contains_key(name.as_str()),
                    "{path}: a deploy lacks {name}: {command}"
                );
            }
            deployments += 1;
        }
        for output in page.text().split("OutputKey==").skip(1).chain(page.text().split("output ").skip(1)) {
            let name: String = output
                .trim_start_matches(['\'', '`'])
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            if name.starts_with(|first: char| first.is_ascii_uppercase()) {
                assert!(template.outputs.contains(&name), "{path}: template.yaml has no output {name}");
            }
        }
    }
    assert!(deployments > 3, "only {deployments} deployments were found");
}

/// The last column of the README's table of variables.
#[test]
fn parameters_of_the_configuration_table_exist() {
    let parameters = template().parameters;
    let pages = pages();
    let readme = &pages[&workspace().join("README.md")];
    let rows = readme.text().lines().skip_while(|line| !line.starts_with("| variable |"));
    let mut found = 0;
    for row in rows.take_while(|line| line.starts_with('|')).skip(2) {
        let last = row.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        for name in last.split('`').skip(1).step_by(2) {
            assert!(parameters.contains_key(name), "README.md: there is no parameter {name}");
            found += 1;
        }
    }
    assert!(found > 8, "only {found} were found");
}

#[test]
fn what_there_is_has_its_place_in_the_lists() {
    let text = |path: &str| fs::read_to_string(workspace().join(path)).expect("a page");
    let named = |folder: &str, of: &dyn Fn(&Path) -> bool| -> Vec<String> {
        let entries = fs::read_dir(workspace().join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| of(path));
        paths.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    for page in named("docs", &is_page) {
        assert!(
            text("README.md").contains(&format!("(docs/{page})")),
            "README.md has no link to docs/{page}"
        );
    }
    let list = text("docs/decisions/README.md");
    let mut numbers = BTreeSet::new();
    for page in named("docs/decisions", &is_page).iter().filter(|page| *page != "README.md") {
        assert!(list.contains(&format!("({page})")), "docs/decisions/README.md has no link to {page}");
        assert!(numbers.insert(page[..4].to_owned()), "there are two decisions {}", &page[..4]);
    }
    for folder in named("tests/it", &Path::is_dir) {
        let place = format!("`tests/it/{folder}");
        assert!(text("CONTRIBUTING.md").contains(&place), "CONTRIBUTING.md does not say what {folder} tests");
    }
}

/// `CamelCase=value`, which nothing but a parameter is written like.
fn assignment(span: &str) -> Option<(&str, &str)> {
    let (name, value) = span.split_once('=')?;
    let is_camel = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric())
        && name.chars().any(|letter| letter.is_ascii_lowercase());
    // X-Ray's header is written so, too.
    let is_trace = ["Root", "Parent", "Sampled"].contains(&name);
    (is_camel && !is_trace && !value.contains(['=', ' '])).then_some((name, value))
}

/// Neither a placeholder nor a sign.
fn is_name(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-') && !word.starts_with('-')
}

fn help(binary: &'static str, arguments: &[&str]) -> String {
    let output = Command::new(function_binary(binary)).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{binary} {arguments:?} has no help");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Every page of the repository, by its path.
fn pages() -> BTreeMap<PathBuf, Page> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![workspace()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') && name != "node_modules" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") && path.is_file() {
                let text = fs::read_to_string(&path).expect("UTF-8");
                pages.insert(path.canonicalize().expect("it is there"), Page::new(text));
            }
        }
    }
    assert!(pages.len() > 20, "{:?}", pages.keys());
    pages
}

/// What a template asks for and gives.
struct Template {
    parameters: BTreeMap<String, Parameter>,
    outputs: BTreeSet<String>,
}

#[derive(Default)]
struct Parameter {
    is_required: bool,
    /// Empty: anything.
    values: Vec<String>,
}

impl Parameter {
    /// A placeholder in capitals stands for something that the reader has.
    fn takes(&self, value: &str) -> bool {
        let value = value.trim_matches('"');
        let is_placeholder = value.contains('…') || value.starts_with('$');
        self.values.is_empty() || is_placeholder || self.values.iter().any(|known| known == value)
    }
}

fn template() -> Template {
    Template::read(&workspace().join("template.yaml"))
}

impl Template {
    /// Line by line: the sections of a template of ours begin in the first column, their entries in the third.
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a template");
        let mut template = Self { parameters: BTreeMap::new(), outputs: BTreeSet::new() };
        let (mut section, mut entry) = ("", "");
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            let Some((key, value)) = line.trim().split_once(':').filter(|_| !line.trim().starts_with('#'))
            else {
                continue;
            };
            match (indent, section) {
                (0, _) => section = key,
                (2, "Outputs") => drop(template.outputs.insert(key.to_owned())),
                (2, "Parameters") => {
                    entry = key;
                    let parameter = Parameter { is_required: true, values: Vec::new() };
                    template.parameters.insert(key.to_owned(), parameter);
                }
                (4, "Parameters") => {
                    let parameter = template.parameters.get_mut(entry).expect("its name came first");
                    if key == "Default" {
                        parameter.is_required = false;
                    } else if key == "AllowedValues" {
                        let list = value.trim().trim_matches(['[', ']']).split(',');
                        parameter.values = list.map(|value| value.trim().trim_matches('"').into()).collect();
                    }
                }
                _ => {}
            }
        }
        assert!(!template.parameters.is_empty(), "{}", path.display());
        template
    }
}
