//! Questions to a name server and its answers (RFC 1035): addresses of a name, no more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An address of IPv4.
    A = 1,
    /// An address of IPv6 (RFC 3596).
    Aaaa = 28,
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// These addresses; none where the name has none of that kind.
    Addresses(Vec<IpAddr>),
    /// More than fits: to be asked again, over TCP.
    Truncated,
    /// The server has no answer now.
    Failed,
}

const HEADER: usize = 12;
const CLASS_INTERNET: u16 = 1;
/// More than anybody takes.
const ADDRESSES_MOST: usize = 16;

/// A question; `None` for what is no name.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    // Recursion is desired; one question.
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..64).contains(len))?;
        bytes.push(len);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    if bytes.len() > HEADER + 255 {
        return None;
    }
    bytes.extend([0, kind as u8]);
    bytes.extend(CLASS_INTERNET.to_be_bytes());
    Some(bytes)
}

/// Reads an answer; `None` for what is none to that question.
pub(super) fn answer(bytes: &[u8], question: &[u8], kind: Kind) -> Option<Answer> {
    let flags = number(bytes, 2)?;
    let is_answer = flags & 0x8000 != 0 && bytes.get(..2)? == question.get(..2)?;
    let asked = bytes.get(HEADER..question.len())?;
    if !is_answer || number(bytes, 4)? != 1 || !asked.eq_ignore_ascii_case(question.get(HEADER..)?)
    {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Answer::Truncated);
    }
    match flags & 0xf {
        0 => {}
        // There is no such name.
        3 => return Some(Answer::Addresses(Vec::new())),
        _ => return Some(Answer::Failed),
    }
    let (mut at, mut found) = (question.len(), Vec::new());
    for _ in 0..number(bytes, 6)? {
        at = behind_name(bytes, at)?;
        let (sort, class, len) =
            (number(bytes, at)?, number(bytes, at + 2)?, usize::from(number(bytes, at + 8)?));
        let data = bytes.get(at + 10..at + 10 + len)?;
        at += 10 + len;
        if sort == kind as u16 && class == CLASS_INTERNET && found.len() < ADDRESSES_MOST {
            found.extend(address(data, kind));
        }
    }
    Some(Answer::Addresses(found))
}

fn address(data: &[u8], kind: Kind) -> Option<IpAddr> {
    Some(match kind {
        Kind::A => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
        Kind::Aaaa => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
    })
}

/// A name in an answer may end with a pointer to where the rest of it was said before.
fn behind_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            len @ 1..64 => at += 1 + usize::from(len),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An alias and two addresses, with pointers.
    fn reply(question: &[u8]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2..4].copy_from_slice(&[0x81, 0x80]);
        bytes[7] = 3;
        bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'x', 0xc0, 12]);
        for last in [1, 2] {
            bytes.extend([1, b'x', 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, last]);
        }
        bytes
    }

    #[test]
    fn addresses_are_read_behind_an_alias() {
        let question = question(7, "a.example.", Kind::A).expect("a name");
        assert_eq!(&question[12..], b"\x01a\x07example\0\0\x01\0\x01");
        let reply = reply(&question);
        let wanted = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from).to_vec();
        assert_eq!(answer(&reply, &question, Kind::A), Some(Answer::Addresses(wanted)));
        for (byte, value, wanted) in [
            (3, 0x83, Some(Answer::Addresses(Vec::new()))),
            (3, 0x82, Some(Answer::Failed)),
            (2, 0x83, Some(Answer::Truncated)),
            (2, 0x01, None),
            (0, 1, None),
            (13, b'b', None),
            (5, 2, None),
        ] {
            let mut other = reply.clone();
            other[byte] = value;
            assert_eq!(answer(&other, &question, Kind::A), wanted, "{byte}");
        }
    }

    #[test]
    fn no_answer_leads_astray() {
        let question = question(7, "a.example", Kind::A).expect("a name");
        let reply = reply(&question);
        for len in 0..reply.len() {
            assert_eq!(answer(&reply[..len], &question, Kind::A), None, "{len}");
        }
        for at in question.len()..reply.len() {
            for value in [0, 1, 63, 64, 128, 192, 255] {
                let mut other = reply.clone();
                other[at] = value;
                let _ = answer(&other, &question, Kind::A);
            }
        }
        let label = "a".repeat(64);
        for bad in ["", "a..b", label.as_str(), &["abc."; 80].concat()] {
            assert_eq!(super::question(1, bad, Kind::Aaaa), None, "{bad}");
        }
    }
}
