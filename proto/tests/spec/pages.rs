//! The pages of spec/ as the tests see them: statements, examples, tables.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// One page: its file's name and its text.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Every page, by name.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages: Vec<_> = fs::read_dir(root().join("spec"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| Page {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect();
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(pages.len() >= 14, "the pages of the spec are missing");
    pages
}

/// The page that begins with this number.
pub(crate) fn page(number: &str) -> Page {
    pages().into_iter().find(|page| page.name.starts_with(number)).unwrap()
}

/// One example: bytes and what they are said to be.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) name: String,
    pub(crate) form: String,
    pub(crate) bytes: Vec<u8>,
}

impl Page {
    /// The examples, block by block.
    pub(crate) fn blocks(&self) -> Vec<Vec<Example>> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if line == "```hex" {
                blocks.push(block(lines.by_ref().take_while(|line| *line != "```")));
            }
        }
        blocks
    }

    /// The cells of every row of the page's tables.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        let rows = self.text.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
        rows.map(|row| row.split('|').map(str::trim).collect()).collect()
    }
}

fn block<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in lines {
        if let Some(head) = line.strip_prefix("# ") {
            let (name, form) = head.split_once(": ").expect("an item is `# name: form`");
            examples.push(Example { name: name.to_owned(), form: form.to_owned(), bytes: Vec::new() });
        } else {
            let hex = line.split('#').next().unwrap_or_default();
            let bytes = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex"));
            examples.last_mut().expect("an item begins with its name").bytes.extend(bytes);
        }
    }
    examples
}
