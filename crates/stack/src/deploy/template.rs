//! In what a deployed template differs from the one in the repository: where its code is, and what else is uploaded.

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

const NESTED: &str = "TemplateURL: ";
const LAYER: &str = "ContentUri: ";

/// What else of the repository a template names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// The file of a nested stack's template.
    Nested(String),
    /// The folder of a layer.
    Layer(String),
}

/// Replaces the path of each nested template and of each layer by the place that it is uploaded to, as `sam package` does:
/// `infra/a.yaml` becomes `url/infra/a.yaml`, and the folder `infra/b` becomes `s3/infra/b.zip`. Returns what that is.
pub(super) fn point_at_uploads(template: &str, url: &str, s3: &str) -> (String, Vec<Upload>) {
    let mut uploads = Vec::new();
    let mut pointed = String::with_capacity(template.len() + 1024);
    for line in template.split_inclusive('\n') {
        let text = line.trim();
        if let Some(path) = text.strip_prefix(NESTED) {
            uploads.push(Upload::Nested(path.to_owned()));
            pointed += &line.replace(text, &format!("{NESTED}{url}/{path}"));
        } else if let Some(path) = text.strip_prefix(LAYER) {
            uploads.push(Upload::Layer(path.to_owned()));
            pointed += &line.replace(text, &format!("{LAYER}{s3}/{path}.zip"));
        } else {
            pointed += line;
        }
    }
    (pointed, uploads)
}

#[cfg(test)]
mod tests {
    use super::{DeployError, Upload, point_at_code, point_at_uploads};

    #[test]
    fn what_is_uploaded_besides_code_is_pointed_at_and_named() {
        let template = "a:\n  TemplateURL: infra/a.yaml\n  # TemplateURL: no\nb:\n    ContentUri: infra/b\n";
        let (pointed, uploads) = point_at_uploads(template, "http://h/k", "s3://k");
        let expected = template.replacen(" infra/a.yaml", " http://h/k/infra/a.yaml", 1);
        assert_eq!(pointed, expected.replacen(" infra/b\n", " s3://k/infra/b.zip\n", 1));
        assert_eq!(uploads, [Upload::Nested("infra/a.yaml".into()), Upload::Layer("infra/b".into())]);
    }

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
