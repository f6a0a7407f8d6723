//! The one thing in which a deployed template differs from the one in the repository.

use super::DeployError;

const BINARY: &str = "Binary: ";
const SOURCE: &str = "CodeUri: .";

/// Replaces each place of the source by that of the compiled code, as `sam build` and `sam package` do: in a function whose
/// `BuildProperties` name the binary `b`, `.` becomes `folder/b.zip`.
///
/// # Errors
///
/// [`DeployError::Template`] when these are not the binaries that the template builds, each once and in any order.
pub(super) fn point_at_code(template: &str, folder: &str, binaries: &[&str]) -> Result<String, DeployError> {
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
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort_unstable();
        names
    };
    if sorted(&found) == sorted(binaries) {
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
    fn a_function_too_many_or_too_few_is_noticed() {
        for binaries in [&["one"][..], &["one", "two", "three"], &["one", "one"], &[]] {
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
