//! The page's own files, in the program; and all of them in one.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A file of the page.
pub(crate) struct Asset {
    pub(crate) name: &'static str,
    embedded: &'static str,
}

impl Asset {
    /// Its text. A debug build takes it from the source tree if that is there, so that a change shows with a reload.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        let tree = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/page/");
        let changed = cfg!(debug_assertions).then(|| std::fs::read_to_string(format!("{tree}{}", self.name)));
        match changed {
            Some(Ok(text)) => Cow::Owned(text),
            _ => Cow::Borrowed(self.embedded),
        }
    }
}

/// One line a file.
macro_rules! assets {
    ($($name:literal)+) => {
        &[$(Asset { name: $name, embedded: include_str!(concat!("../../../dashboards/page/", $name)) }),+]
    };
}

/// The page's files; [`INDEX`] is the one that loads the others.
pub(crate) const ASSETS: &[Asset] = assets! {
    "index.html" "style.css"
    "main.js" "source.js" "run.js" "state.js" "dom.js" "time.js" "health.js" "axis.js" "timeline.js"
    "layout.js" "graph.js" "details.js" "lanes.js" "chart.js" "heat.js" "load.js" "policies.js" "faults.js"
    "compare.js" "fidelity.js" "verdict.js" "tour.js"
};

/// The page itself.
const INDEX: &str = "index.html";

/// The file of a name; none is the page itself.
pub(crate) fn asset(name: &str) -> Option<&'static Asset> {
    let name = if name.is_empty() { INDEX } else { name };
    ASSETS.iter().find(|asset| asset.name == name)
}

/// The type by which a browser knows a file.
pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    }
}

/// The page as one file that needs no other, nor a network, nor a server. `data` is a gzipped document.
///
/// A page opened from disk may not load its modules from files beside it, which browsers take for strangers. So they are
/// in an import map, as data, and what they import from one another by `./name.js` they import as `eastfall/name.js`.
pub(crate) fn in_one_file(data: &[u8]) -> String {
    let (mut page, mut style, mut imports) = (String::new(), String::new(), String::new());
    for asset in ASSETS {
        let (name, text) = (asset.name, asset.text());
        match content_type(name).split(';').next() {
            Some("text/html") => page += &text,
            Some("text/css") => style += &text,
            _ => {
                let module = BASE64.encode(text.replace("from \"./", "from \"eastfall/"));
                let comma = if imports.is_empty() { "" } else { "," };
                // Writing to a String does not fail.
                let _ =
                    write!(imports, "{comma}\"eastfall/{name}\":\"data:text/javascript;base64,{module}\"");
            }
        }
    }
    let inlined = format!(
        "<script type=\"importmap\">{{\"imports\":{{{imports}}}}}</script>\n\
         <script type=\"application/gzip\" id=\"document\">{}</script>\n\
         <script type=\"module\">import \"eastfall/main.js\";</script>",
        BASE64.encode(data)
    );
    page.replace(STYLE, &format!("<style>{style}</style>")).replace(SCRIPT, &inlined)
}

/// How the page loads the rest; [`in_one_file`] puts the rest in their place.
const STYLE: &str = "<link rel=\"stylesheet\" href=\"style.css\">";
const SCRIPT: &str = "<script type=\"module\" src=\"main.js\"></script>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_loads_nothing() {
        let page = in_one_file(b"data");
        assert!(!page.contains(STYLE) && !page.contains(SCRIPT), "the page's own files are in it");
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
            assert!(
                page.contains(&format!("\"eastfall/{}\":\"data:", asset.name)),
                "{} is in it",
                asset.name
            );
        }
        assert!(page.contains(&BASE64.encode(b"data")), "and so is the data");
    }

    #[test]
    fn modules_import_only_what_is_there() {
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
            let text = asset.text();
            for import in text.lines().filter_map(|line| line.split_once(" from \"./")) {
                let name = import.1.split('"').next().unwrap_or_default();
                assert!(super::asset(name).is_some(), "{}: there is no {name}", asset.name);
            }
        }
    }
}
