//! The one thing in which a deployed template differs from the one in the repository.

use std::collections::BTreeSet;

use super::DeployError;

const BINARY: &str = "Binary: ";
const SOURCE: &str = "CodeUri: .";

/// Replaces each place of the source by that of the compiled code, as `sam build` and `sam package` do: in a function whose
/// `BuildProperties` name the binary `b`, `.` becomes `folder/b.zip`. The binaries are those that there is code of; the
/// template may build more, for functions that a condition leaves out.
///
/// # Errors
///
/// [`DeployError::Template`] when the template does not build one of them, or one is given or built twice.
pub fn point_at_code(template: &str, folder: &str, binaries: &[&str]) -> Result<String, DeployError> {
    let mut found = Vec::new();
    let mut binary = "";
    let mut pointed = String::with_capacity(template.len() + 64 * binaries.len());
    for line in template.split_inclusive('\n') {
        if let Some(name) = line.trim().strip_prefix(BINARY) {
            binary = name;
        }
        if line.trim() == SOURCE {
            found.push(std::mem::take(&mut binary));
            let name = found.last().unwrap_or(&"");
            pointed += &line.replace(SOURCE, &format!("CodeUri: {folder}/{name}.zip"));
        } else {
            pointed += line;
        }
    }
    let built: BTreeSet<&str> = found.iter().copied().filter(|name| !name.is_empty()).collect();
    let given: BTreeSet<&str> = binaries.iter().copied().collect();
    let no_doubles = built.len() == found.len() && given.len() == binaries.len();
    if no_doubles && given.is_subset(&built) {
        return Ok(pointed);
    }
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Err(DeployError::Template { found: owned(&found), given: owned(binaries) })
}

#[cfg(test)]
mod tests {
    use super::{DeployError, point_at_code};

    const TWO: &str =
        "a:\n  Binary: one\n  CodeUri: .\nb:\n  Binary: two\n  # why\n  CodeUri: .\nc: CodeUri: .x\n";

    #[test]
    fn each_function_gets_its_own_code_and_nothing_else_changes() {
        let pointed = point_at_code(TWO, "s3://b", &["two", "one"]).unwrap();
        let expected = TWO.replacen("CodeUri: .\n", "CodeUri: s3://b/one.zip\n", 1);
        assert_eq!(pointed, expected.replacen("CodeUri: .\n", "CodeUri: s3://b/two.zip\n", 1));
    }

    #[test]
    fn what_is_given_may_be_less_but_nothing_else() {
        let pointed = point_at_code(TWO, "s3://b", &["two"]).unwrap();
        assert_eq!(pointed, point_at_code(TWO, "s3://b", &["one", "two"]).unwrap());
        for binaries in [&["one", "two", "three"][..], &["one", "one"], &[""]] {
            let error = point_at_code(TWO, "s3://b", binaries).unwrap_err();
            assert!(
                matches!(&error, DeployError::Template { found, .. } if found == &["one", "two"]),
                "{error}"
            );
        }
        // A second place without a binary of its own must not get the code of the first.
        let error = point_at_code("Binary: one\nCodeUri: .\nCodeUri: .\n", "s3://b", &["one", "one"]);
        assert!(matches!(error, Err(DeployError::Template { .. })));
    }
}
