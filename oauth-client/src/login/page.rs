//! The plain page that a person sees when their browser comes back. There is no secret in it, nothing of the request
//! but an error code of known characters, and it loads nothing.

use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}h1{font-size:1.5rem;line-height:1.25}\
    @media(prefers-color-scheme:dark){body{background:#16181c;color:#e8e8e8}}";

/// What the page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    LoggedIn,
    /// The login ended with this error code.
    Failed(String),
    /// It belongs to another login than the one that is waited for.
    Stale,
    NotFound,
    /// The request is not a browser's that comes back.
    Refused,
}

impl Page {
    /// The whole HTTP response. It is never stored, and closes the connection; the page sends no referrer,
    /// since its address has the code in it.
    pub(super) fn to_http(&self) -> String {
        let (status, title, text) = match self {
            Self::LoggedIn => ("200 OK", "You are logged in", "You can close this window.".to_owned()),
            Self::Failed(code) => {
                let text = format!(
                    "The login did not come about (<code>{}</code>). You can close this window and try again.",
                    escaped(code)
                );
                ("400 Bad Request", "You are not logged in", text)
            }
            Self::Stale => (
                "400 Bad Request",
                "This is another login",
                "The program waits for the response to a newer page. Look for that one.".to_owned(),
            ),
            Self::NotFound => ("404 Not Found", "There is nothing here", String::new()),
            Self::Refused => ("400 Bad Request", "This request is not served", String::new()),
        };
        let body = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style><main><h1>{title}</h1><p>{text}</p></main></html>\n"
        );
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
             content-security-policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(64) {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ') {
            out.push(c);
        } else {
            let _ = write!(out, "&#{};", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_never_stored_and_quotes_no_markup() {
        let page = Page::Failed("<script>alert(1)</script>".to_owned()).to_http();
        assert!(!page.contains("<script") && page.contains("&#60;script"), "{page}");
        assert!(page.contains("cache-control: no-store\r\n") && page.contains("connection: close\r\n"));
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
