//! `events/` and what its page says of it.

use std::collections::BTreeSet;

use stack::install::workspace;

#[test]
fn the_page_says_what_every_file_is_for_and_names_no_other() {
    let folder = workspace().join("events");
    let page = std::fs::read_to_string(folder.join("README.md")).expect("read");
    let files: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("events")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".json") && name != "expected.json")
        .collect();
    // In the first column; what follows a name there may leave its beginning out.
    let column = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names: Vec<&str> =
        column.flat_map(|cell| cell.split('`')).filter(|name| name.ends_with(".json")).collect();
    let speaks_of =
        |name: &str, file: &str| name.strip_prefix('…').map_or(name == file, |ending| file.ends_with(ending));
    for file in &files {
        assert!(
            names.iter().any(|name| speaks_of(name, file)),
            "events/README.md does not say what {file} is for"
        );
    }
    for name in names {
        assert!(
            files.iter().any(|file| speaks_of(name, file)),
            "events/README.md speaks of {name}, which is not there"
        );
    }
}
