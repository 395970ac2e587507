//! As much of GRUB's script as its configurations here are written in. Written after GRUB 2.06
//! (`grub-core/script`, `grub-core/commands/test.c`, `grub-core/lib/cmdline.c`).

use std::collections::BTreeMap;

/// A part of a word.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(String),
    Variable(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Token {
    Word { parts: Vec<Part>, bare: bool },
    End,
    Open,
    Close,
}

impl Token {
    fn keyword(&self) -> Option<&str> {
        match self {
            Self::Word { parts, bare: true } => match parts.as_slice() {
                [Part::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Takes a script apart, as far as it is one.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(c) = chars.get(at).copied() {
        match c {
            ' ' | '\t' => at += 1,
            '\n' | ';' => {
                tokens.push(Token::End);
                at += 1;
            }
            '#' => {
                while chars.get(at).is_some_and(|c| *c != '\n') {
                    at += 1;
                }
            }
            '{' if alone(&chars, at) => {
                tokens.push(Token::Open);
                at += 1;
            }
            '}' if alone(&chars, at) => {
                tokens.push(Token::Close);
                at += 1;
            }
            _ => match word(&chars, &mut at) {
                Some(word) => tokens.push(word),
                // A quote that is not closed: GRUB waits for more of the statement.
                None => return tokens,
            },
        }
    }
    tokens.push(Token::End);
    tokens
}

fn alone(chars: &[char], at: usize) -> bool {
    chars.get(at + 1).is_none_or(|c| " \t\n;".contains(*c))
}

fn word(chars: &[char], at: &mut usize) -> Option<Token> {
    let (mut parts, mut bare) = (vec![], true);
    let text = |parts: &mut Vec<Part>, c: char| match parts.last_mut() {
        Some(Part::Text(text)) => text.push(c),
        _ => parts.push(Part::Text(c.into())),
    };
    while let Some(c) = chars.get(*at).copied() {
        match c {
            ' ' | '\t' | '\n' | ';' => break,
            '\'' => {
                bare = false;
                parts.push(Part::Text(String::new()));
                *at += 1;
                while *chars.get(*at)? != '\'' {
                    text(&mut parts, chars[*at]);
                    *at += 1;
                }
                *at += 1;
            }
            '"' => {
                bare = false;
                parts.push(Part::Text(String::new()));
                *at += 1;
                while *chars.get(*at)? != '"' {
                    match chars[*at] {
                        '\\' if "$\\\"".contains(*chars.get(*at + 1)?) => {
                            text(&mut parts, chars[*at + 1]);
                            *at += 2;
                        }
                        '$' => parts.push(Part::Variable(variable(chars, at)?)),
                        c => {
                            text(&mut parts, c);
                            *at += 1;
                        }
                    }
                }
                *at += 1;
            }
            '\\' => {
                bare = false;
                text(&mut parts, *chars.get(*at + 1)?);
                *at += 2;
            }
            '$' => parts.push(Part::Variable(variable(chars, at)?)),
            c => {
                text(&mut parts, c);
                *at += 1;
            }
        }
    }
    Some(Token::Word { parts, bare })
}

fn variable(chars: &[char], at: &mut usize) -> Option<String> {
    *at += 1;
    let braces = *chars.get(*at)? == '{';
    *at += usize::from(braces);
    let mut name = String::new();
    while chars.get(*at).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '?') {
        name.push(chars[*at]);
        *at += 1;
    }
    if braces {
        if *chars.get(*at)? != '}' {
            return None;
        }
        *at += 1;
    }
    Some(name)
}

/// A machine that runs commands.
pub(crate) trait Machine {
    fn variables(&mut self) -> &mut BTreeMap<String, String>;
    /// Runs a command that is none of the script's own; true for success.
    fn command(&mut self, words: &[String]) -> bool;
    /// A menu entry, and its body.
    fn menu_entry(&mut self, words: &[String], body: &[Token]);
    /// True where there is such a file, and whether it has something in it.
    fn file(&mut self, path: &str) -> Option<bool>;
}

/// Runs a script, one statement after the other, up to one that does not end.
pub(crate) fn run(machine: &mut dyn Machine, tokens: &[Token]) -> bool {
    let (mut at, mut result) = (0, true);
    while let Some(token) = tokens.get(at) {
        match token {
            Token::End => at += 1,
            Token::Close => return result,
            _ => {
                let mut end = at;
                if statement(machine, tokens, &mut end, false).is_none() {
                    return result;
                }
                result = statement(machine, tokens, &mut at, true).unwrap_or(false);
            }
        }
    }
    result
}

/// Runs, or only steps over, commands up to a keyword; `None` where there is none.
fn list(
    m: &mut dyn Machine,
    tokens: &[Token],
    at: &mut usize,
    go: bool,
    stop: &[&str],
) -> Option<bool> {
    let mut result = true;
    loop {
        match tokens.get(*at)? {
            Token::End => *at += 1,
            token if token.keyword().is_some_and(|word| stop.contains(&word)) => {
                return Some(result);
            }
            _ => result = statement(m, tokens, at, go)?,
        }
    }
}

fn statement(m: &mut dyn Machine, tokens: &[Token], at: &mut usize, go: bool) -> Option<bool> {
    match tokens.get(*at)?.keyword() {
        Some("if") => return condition(m, tokens, at, go),
        Some("menuentry" | "submenu" | "function") => return block(m, tokens, at, go),
        _ => {}
    }
    let words = words(m, tokens, at);
    // It ends with its line.
    matches!(tokens.get(*at)?, Token::End).then_some(())?;
    Some(!go || simple(m, &words))
}

fn words(m: &mut dyn Machine, tokens: &[Token], at: &mut usize) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(Token::Word { parts, .. }) = tokens.get(*at) {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => m.variables().get(name).cloned().unwrap_or_default(),
        };
        words.push(parts.iter().map(part).collect());
        *at += 1;
    }
    words
}

fn condition(m: &mut dyn Machine, tokens: &[Token], at: &mut usize, go: bool) -> Option<bool> {
    let (mut done, mut result) = (false, true);
    loop {
        // At `if`, `elif` or `else`.
        let last = tokens.get(*at)?.keyword() == Some("else");
        *at += 1;
        let met = last || {
            let met = list(m, tokens, at, go && !done, &["then"])?;
            *at += 1;
            met
        };
        let run = go && !done && met;
        let ran = list(m, tokens, at, run, &["elif", "else", "fi"])?;
        if run {
            (done, result) = (true, ran);
        }
        if tokens.get(*at)?.keyword() == Some("fi") {
            *at += 1;
            return Some(result);
        }
    }
}

fn block(m: &mut dyn Machine, tokens: &[Token], at: &mut usize, go: bool) -> Option<bool> {
    let words = words(m, tokens, at);
    matches!(tokens.get(*at)?, Token::Open).then_some(())?;
    *at += 1;
    let start = *at;
    let mut depth = 1;
    while depth > 0 {
        match tokens.get(*at)? {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        *at += 1;
    }
    if go && words[0] == "menuentry" {
        m.menu_entry(&words, &tokens[start..*at - 1]);
    }
    Some(true)
}

fn simple(m: &mut dyn Machine, words: &[String]) -> bool {
    let Some(name) = words.first() else { return true };
    if let Some((name, value)) = name.split_once('=')
        && words.len() == 1
    {
        m.variables().insert(name.to_owned(), value.to_owned());
        return true;
    }
    match name.as_str() {
        "set" => {
            let (name, value) = words[1].split_once('=').expect("an assignment");
            m.variables().insert(name.to_owned(), value.to_owned());
            true
        }
        "true" => true,
        "false" => false,
        "[" => {
            assert_eq!(words.last().map(String::as_str), Some("]"));
            test(m, &words[1..words.len() - 1])
        }
        _ => m.command(words),
    }
}

fn test(m: &mut dyn Machine, words: &[String]) -> bool {
    let (mut or, mut and, mut invert, mut at) = (false, true, false, 0);
    while at < words.len() {
        let word = |n: usize| words.get(at + n).map(String::as_str);
        let value = match (word(0), word(1), word(2)) {
            (Some(a), Some("=" | "=="), Some(b)) => {
                at += 3;
                a == b
            }
            (Some(a), Some("!="), Some(b)) => {
                at += 3;
                a != b
            }
            (Some("-s"), Some(path), _) => {
                let value = m.file(path) == Some(true);
                at += 2;
                value
            }
            (Some("-f" | "-e"), Some(path), _) => {
                let value = m.file(path).is_some();
                at += 2;
                value
            }
            (Some("-n"), Some(text), _) => {
                let value = !text.is_empty();
                at += 2;
                value
            }
            (Some("-z"), Some(text), _) => {
                let value = text.is_empty();
                at += 2;
                value
            }
            (Some("!"), ..) => {
                invert = !invert;
                at += 1;
                continue;
            }
            (Some("-a"), ..) => {
                at += 1;
                continue;
            }
            (Some("-o"), ..) => {
                or |= and;
                and = true;
                at += 1;
                continue;
            }
            (Some(text), ..) => {
                let value = !text.is_empty();
                at += 1;
                value
            }
            (None, ..) => break,
        };
        and &= value != invert;
        invert = false;
    }
    or || and
}

/// What GRUB makes of the words behind a kernel.
pub(crate) fn command_line(words: &[String]) -> String {
    let word = |word: &String| {
        let escaped: String = word
            .chars()
            .flat_map(|c| if "\\'\"".contains(c) { vec!['\\', c] } else { vec![c] })
            .collect();
        if word.contains(' ') { format!("\"{escaped}\"") } else { escaped }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}
