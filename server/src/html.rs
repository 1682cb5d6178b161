//! The look of pages: one head for all, and text that cannot write markup. A page loads nothing from anywhere.

/// Rules of every page.
#[cfg(any(feature = "compact", feature = "store"))]
const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2rem;max-width:60rem;color-scheme:light dark}\
    td,th{padding:.2rem 1rem .2rem 0;text-align:left;vertical-align:top}\
    td:first-child,th:first-child{text-align:left}code,pre{background:#8882;padding:0 .2rem}";

/// The beginning of a page, up to its heading; `style` is added to the common rules.
#[cfg(any(feature = "compact", feature = "store"))]
pub(crate) fn head(title: &str, style: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}{style}</style><h1>{title}</h1>"
    )
}

/// The text as HTML shows it, in content and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(all(test, any(feature = "compact", feature = "store")))]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        assert_eq!(escape("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
        assert!(head("<x>", "").contains("<h1>&lt;x&gt;</h1>"));
    }
}
