use std::collections::BTreeSet;

/// The files of a folder or a repository, as paths from its root with `/` between names.
#[derive(Debug)]
pub struct Listing<'a>(BTreeSet<&'a str>);

impl<'a> Listing<'a> {
    /// Of these files.
    pub fn of(files: &'a [String]) -> Self {
        Self(files.iter().map(String::as_str).collect())
    }

    /// The folders that have a file of this name, in the order of the alphabet; the root is empty.
    pub fn folders_with(&self, name: &str) -> Vec<&'a str> {
        let folder = |file: &&'a str| match file.strip_suffix(name)? {
            "" => Some(""),
            folder => folder.strip_suffix('/'),
        };
        let mut folders: Vec<&str> = self.0.iter().filter_map(folder).collect();
        folders.sort_unstable();
        folders
    }

    /// The path of a file in a folder, if it is there.
    pub fn file(&self, folder: &str, name: &str) -> Option<String> {
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        self.0.contains(path.as_str()).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_by_a_file_in_them() {
        let files = ["a/cfg.json", "cfg.json", "a/b/cfg.json", "a/notcfg.json", "c/other"].map(str::to_owned);
        let listing = Listing::of(&files);
        assert_eq!(listing.folders_with("cfg.json"), ["", "a", "a/b"]);
        assert_eq!(listing.file("a/b", "cfg.json").as_deref(), Some("a/b/cfg.json"));
        assert_eq!(listing.file("", "cfg.json").as_deref(), Some("cfg.json"));
        assert_eq!(listing.file("c", "cfg.json"), None);
    }
}
