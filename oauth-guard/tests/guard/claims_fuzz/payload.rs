//! Payloads at random.

use crate::support::Random;

/// Writes one payload: usually a good one, with a few members that are odd, and sometimes damaged as a text.
pub(super) struct Payload<'r> {
    pub(super) random: &'r mut Random,
    pub(super) now: u64,
}

impl Payload<'_> {
    pub(super) fn write(mut self) -> Vec<u8> {
        let mut members = vec![
            ("iss".to_owned(), r#""https://as""#.to_owned()),
            ("aud".to_owned(), r#""api""#.to_owned()),
            ("exp".to_owned(), (self.now + 3600).to_string()),
        ];
        for _ in 0..self.random.below(6) {
            let name = self.name();
            let value = self.value_of(&name);
            match members.iter_mut().find(|(one, _)| *one == name) {
                // Instead of the one there, or beside it.
                Some(member) if self.random.chance(85) => member.1 = value,
                _ => members.push((name, value)),
            }
        }
        if self.random.chance(4) {
            let gone = self.random.below(members.len());
            members.remove(gone);
        }
        if self.random.chance(50) {
            let (one, other) = (self.random.below(members.len()), self.random.below(members.len()));
            members.swap(one, other);
        }
        let mut text = String::from("{");
        for (index, (name, value)) in members.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            text.push_str(self.blank());
            text.push_str(&self.quoted(name));
            text.push_str(self.blank());
            text.push(':');
            text.push_str(self.blank());
            text.push_str(value);
        }
        text.push_str(self.blank());
        text.push('}');
        if self.random.chance(4) {
            text = match self.random.below(6) {
                0 => format!("[{text}]"),
                1 => format!("\u{feff}{text}"),
                2 => format!("{text}{text}"),
                3 => format!(" {text}\n"),
                4 => "\"text\"".to_owned(),
                _ => format!(r#"["{}","https://as","api"]"#, self.now + 3600),
            };
        }
        let mut bytes = text.into_bytes();
        if self.random.chance(12) {
            let at = self.random.below(bytes.len());
            let byte = *self.random.pick(b"\"\\{}[],:0 \t\x00\x1f\x7f\x80\xffue-+.1");
            match self.random.below(4) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    }

    fn blank(&mut self) -> &'static str {
        if self.random.chance(90) { "" } else { self.random.word(&[" ", "\n", "\t", "\r\n", "  "]) }
    }

    fn name(&mut self) -> String {
        let known = [
            "iss",
            "aud",
            "exp",
            "nbf",
            "iat",
            "sub",
            "client_id",
            "jti",
            "azp",
            "scope",
            "scp",
            "roles",
            "cnf",
            "auth_time",
        ];
        match self.random.below(10) {
            0 => String::new(),
            1 => format!("x{}", self.random.below(5)),
            2 => "caf\u{e9} \u{1f600}".to_owned(),
            3 if self.random.chance(80) => "scope".to_owned(),
            _ => self.random.word(&known).to_owned(),
        }
    }

    fn value_of(&mut self, name: &str) -> String {
        let now = self.now;
        match name {
            _ if self.random.chance(12) => self.any(0),
            "iss" => (self.random.word(&[
                r#""https://as""#,
                r#""https:\/\/as""#,
                r#""https://as/""#,
                r#"["https://as"]"#,
            ]))
            .to_owned(),
            "aud" => (self.random.word(&[
                r#""api""#,
                r#"["api"]"#,
                r#"["other","api"]"#,
                r#"["\u0061pi"]"#,
                r#"["api",5]"#,
                r#""API""#,
                "[]",
                r#"["other"]"#,
                r#"{"api":"api"}"#,
            ]))
            .to_owned(),
            // Far from all limits: a moment passes between the two readers' clocks.
            "exp" | "nbf" | "iat" | "auth_time" => match self.random.below(10) {
                0 => format!("\"{now}\""),
                1 => format!("{}.75", now + 1000),
                2 => format!("-{now}"),
                3 => format!("{}e1", now / 10 + 100),
                4 => format!("{}", now - 3600),
                5 => format!("{}", now + 3600),
                6 => "18446744073709551615".to_owned(),
                7 => "1e300".to_owned(),
                _ => format!("{}", if name == "exp" { now + 600 } else { now - 600 }),
            },
            "cnf" if self.random.chance(80) => self.text(),
            "cnf" => r#"{"jkt":"x"}"#.to_owned(),
            "scope" | "scp" | "roles" if self.random.chance(60) => (self.random.word(&[
                r#""read write""#,
                r#"["read","write"]"#,
                r#"" read  write ""#,
                r#""re\u0061d \u0077rite""#,
                r#"["a b",""]"#,
                r#"["read",1]"#,
                "\"\"",
                "[]",
            ]))
            .to_owned(),
            _ if self.random.chance(70) => self.text(),
            _ => self.any(0),
        }
    }

    /// Any JSON, sometimes with a member twice.
    fn any(&mut self, depth: usize) -> String {
        match self.random.below(if depth > 3 { 6 } else { 9 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => (self.random.word(&[
                "0",
                "-0",
                "1.5",
                "-7",
                "1e3",
                "01",
                "1.",
                ".5",
                "+1",
                "1E-2",
                "9007199254740993",
            ]))
            .to_owned(),
            3..6 => self.text(),
            6 => {
                let items: Vec<String> = (0..self.random.below(4)).map(|_| self.any(depth + 1)).collect();
                format!("[{}]", items.join(","))
            }
            7 if self.random.chance(5) => {
                let levels = 28 + self.random.below(8);
                format!("{}{}", "[".repeat(levels), "]".repeat(levels))
            }
            _ => {
                let members: Vec<String> = (0..self.random.below(4))
                    .map(|_| {
                        let name = self.random.word(&["a", "b", "c", "\u{e9}", "sub"]);
                        format!("{}:{}", self.quoted(name), self.any(depth + 1))
                    })
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn text(&mut self) -> String {
        let mut text = String::from("\"");
        for _ in 0..self.random.below(14) {
            text.push_str(match self.random.below(40) {
                0 => "\\n",
                1 => "\\u0041",
                2 => "\\ud83d\\ude00",
                3 => "\u{1f600}",
                4 => "\\\"",
                5 if self.random.chance(10) => "\\ud83d",
                6 if self.random.chance(10) => "\\x",
                7 if self.random.chance(10) => "\t",
                8 => "\u{7f}",
                9 => "\\u0000",
                10 => " ",
                11..20 => "name",
                _ => "x",
            });
        }
        text.push('"');
        text
    }

    /// A name in quotes, one letter of it sometimes as an escape.
    fn quoted(&mut self, name: &str) -> String {
        let escaped = if self.random.chance(8) { self.random.below(name.len() + 1) } else { usize::MAX };
        let letters = name.char_indices().map(|(at, letter)| match u32::from(letter) {
            code if at == escaped && code < 0x1_0000 => format!("\\u{code:04x}"),
            _ => letter.to_string(),
        });
        format!("\"{}\"", letters.collect::<String>())
    }
}
