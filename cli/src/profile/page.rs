//! A flame graph as a page for a browser, which searches, zooms and changes between the values. It needs nothing from
//! elsewhere; the script beside this file draws it.

use super::{Frame, Profile};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>";
const STYLE: &str = include_str!("flame.css");
const SCRIPT: &str = include_str!("flame.js");
const BODY: &str = "</h1>\n<p><select id=\"values\" title=\"what is counted\"></select> <input id=\"search\" type=\"search\" \
    placeholder=\"search functions and files\"> <button id=\"reset\">whole</button> <span id=\"found\"></span></p>\n\
    <div id=\"graph\"></div>\n<p id=\"about\">Point at a box, or click it to zoom in.</p>\n";

/// A function called from the one above it in the tree, and the sums of its stacks.
#[derive(Default)]
struct Node<'a> {
    values: Vec<i64>,
    place: Option<&'a str>,
    callees: BTreeMap<(&'a str, &'a str), Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, values: &[i64]) {
        self.values.resize(values.len(), 0);
        self.values.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    fn callee(&mut self, frame: &'a Frame) -> &mut Self {
        let node = self.callees.entry((&frame.name, &frame.object)).or_default();
        node.place = node.place.or(frame.place.as_deref());
        node
    }

    /// Name, file, source line, values and callees, in short names, for there are many.
    fn value(&self, name: &str, object: &str) -> Value {
        let callees = self.callees.iter().map(|((name, object), node)| node.value(name, object));
        json!({ "n": name, "o": object, "p": self.place, "v": self.values, "c": callees.collect::<Vec<_>>() })
    }
}

/// The page, which begins with value number `value`.
///
/// # Errors
/// Where a name is none of JSON's.
pub(crate) fn page(profile: &Profile, value: usize, title: &str) -> Result<String> {
    // A name may look like the end of the script.
    let data = serde_json::to_string(&tree(profile, value))?.replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    Ok(format!(
        "{HEAD}{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{title}{BODY}\
         <script id=\"data\" type=\"application/json\">{data}</script>\n<script>\n{SCRIPT}</script>\n</body></html>\n"
    ))
}

/// The boxes of the graph, as the page's script reads them: the one below which all others are, the names of the values,
/// and which of them is shown at first.
pub(crate) fn tree(profile: &Profile, value: usize) -> Value {
    let mut root = Node::default();
    for stack in &profile.stacks {
        let mut node = &mut root;
        node.add(&stack.values);
        for frame in &stack.frames {
            node = node.callee(frame);
            node.add(&stack.values);
        }
    }
    root.values.resize(profile.values.len(), 0);
    let values: Vec<_> =
        (0..profile.values.len()).map(|index| json!([profile.describe(index), profile.values[index].1])).collect();
    json!({
        "values": values, "first": value, "root": root.value("all", ""), "period": profile.period, "seconds": profile.seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read::tests::of;

    #[test]
    fn the_page_has_the_tree_and_names_end_no_script() {
        let page = page(&of(&[("main;a", 5), ("main;</script>", 7)]), 0, "x < y").unwrap();
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(
            page.contains("<title>x &lt; y</title>") && page.contains(r#""v":[12]"#) && page.contains(r#""n":"main""#)
        );
        assert!(!page.contains("http"));
    }
}
