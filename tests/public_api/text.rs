//! Tokens as one line of text, the way rustfmt would write them.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// One line. Attributes are to be removed before.
pub(crate) fn line(tokens: &impl ToTokens) -> String {
    let mut text = Text { line: String::new(), last: Last::Open, generics: 0 };
    text.stream(tokens.to_token_stream());
    // What macros leave behind, and commas before a closing bracket.
    text.line.replace(",)", ")").replace(", }", " }").replace(",>", ">").trim().to_owned()
}

/// What the line ends with, as far as it decides whether a space comes next.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// The start, an opening bracket, `&`, `::`, `!` and what else binds to the right.
    Open,
    Word,
    /// The quote of a lifetime, and then its name.
    Quote,
    Lifetime,
    /// A punctuation that a space follows.
    Sign,
    /// A closing bracket.
    Close,
}

struct Text {
    line: String,
    last: Last,
    /// How many `<` are open.
    generics: usize,
}

impl Text {
    fn stream(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(name) => self.word(&name.to_string()),
                TokenTree::Literal(literal) => self.word(&literal.to_string()),
                TokenTree::Group(group) => self.group(group.delimiter(), group.stream()),
                TokenTree::Punct(first) => {
                    let mut sign = first.as_char().to_string();
                    let mut spacing = first.spacing();
                    // A lifetime is a quote and a word.
                    while spacing == Spacing::Joint && sign != "'" {
                        let Some(TokenTree::Punct(next)) = tokens.peek() else { break };
                        if !is_one_sign(&sign, next.as_char()) {
                            break;
                        }
                        sign.push(next.as_char());
                        spacing = next.spacing();
                        tokens.next();
                    }
                    self.sign(&sign);
                }
            }
        }
    }

    fn word(&mut self, word: &str) {
        if matches!(self.last, Last::Word | Last::Lifetime | Last::Sign | Last::Close) {
            self.space();
        }
        self.line.push_str(word);
        self.last = if self.last == Last::Quote { Last::Lifetime } else { Last::Word };
    }

    fn sign(&mut self, sign: &str) {
        match sign {
            "," | ";" => self.push(sign, Last::Sign),
            ":" => self.push(sign, Last::Sign),
            "::" => {
                // A path that begins with it: `for<'a> ::http::…`, `-> ::http::…`.
                if self.last == Last::Sign {
                    self.space();
                }
                self.push(sign, Last::Open);
            }
            "<" => {
                self.generics += 1;
                if self.last == Last::Sign {
                    self.space();
                }
                self.push(sign, Last::Open);
            }
            ">" => {
                self.generics = self.generics.saturating_sub(1);
                self.push(sign, Last::Close);
            }
            "&" | "'" | "#" | "?" | "$" | "*" | "!" => {
                if matches!(self.last, Last::Word | Last::Lifetime | Last::Sign | Last::Close) && sign != "!"
                {
                    self.space();
                }
                self.push(sign, if sign == "'" { Last::Quote } else { Last::Open });
            }
            _ => {
                self.space();
                self.push(sign, Last::Sign);
            }
        }
    }

    fn group(&mut self, delimiter: Delimiter, inner: TokenStream) {
        let (open, close) = match delimiter {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::None => ("", ""),
        };
        let is_behind_keyword = [" for", " mut", " in", " as"].iter().any(|word| self.line.ends_with(word));
        if matches!(self.last, Last::Sign | Last::Lifetime)
            || is_behind_keyword
            || delimiter == Delimiter::Brace
        {
            self.space();
        }
        self.push(open, Last::Open);
        if delimiter == Delimiter::Brace {
            self.line.push(' ');
        }
        self.stream(inner);
        if delimiter == Delimiter::Brace {
            self.space();
        }
        self.push(close, Last::Close);
    }

    fn push(&mut self, text: &str, last: Last) {
        self.line.push_str(text);
        self.last = last;
    }

    fn space(&mut self) {
        if !self.line.is_empty() && !self.line.ends_with(' ') {
            self.line.push(' ');
        }
    }
}

fn is_one_sign(sign: &str, next: char) -> bool {
    matches!(
        (sign, next),
        (":", ':') | ("-" | "=", '>') | ("." | "..", '.') | ("..", '=') | ("=" | "!" | "<" | ">", '=')
    )
}

#[test]
fn a_signature_reads_as_its_author_wrote_it() {
    for written in [
        "pub fn check<'a>(&self, request: impl Into<RequestHead<'a>>) -> Check<T>",
        "pub fn resolve<F, Fut, E>(mut self, f: F) -> Self where F: Fn(String) -> Fut + Send + 'static, E: Into<Box<dyn Error + Send>>",
        "pub const SCOPES: &'static [&'static str]",
        "pub type Named<T> = Pin<Box<dyn Future<Output = Result<T, ::http::Error>> + Send>>",
        "pub fn watch(&mut self, of: &Claims<T>) -> impl Future<Output = ()> + Send + use<T>",
        "impl<S: ?Sized, const N: usize> Layer<S> for [u8; N]",
        "pub fn open(url: Option<&str>) -> Result<(), <Self as Trait>::Error>",
        "pub struct Pair { pub left: u8, right: (u8, [u8; 4]) }",
    ] {
        let tokens: TokenStream = written.parse().unwrap();
        assert_eq!(line(&tokens), written);
    }
}
