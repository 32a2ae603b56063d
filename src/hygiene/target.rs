//! A target that everybody reads in the same way: in origin form, without dot segments, without bytes that one
//! server decodes and another does not.

use http::{Method, Version};

use super::{Flaw, Leniency, Received, Rules};

/// The target to send instead, in origin form, if it is not in order as it is.
pub(super) fn in_order(received: Received<'_>, rules: &Rules) -> Result<Option<Vec<u8>>, Flaw> {
    let sent = received.target;
    let is_star = sent == b"*" && received.parts.method == Method::OPTIONS;
    if is_star {
        return Ok(None);
    }
    let is_path = sent.starts_with(b"/");
    // Over HTTP/2 the authority has a field of its own, and a path with another one has two (RFC 9113, section 8.3.1).
    if !is_path && received.parts.version == Version::HTTP_2 {
        return Err(Flaw::Target);
    }
    let origin_form = if is_path { sent } else { path_of_absolute(sent)? };
    let end = memchr::memchr2(b'?', b'#', origin_form).unwrap_or(origin_form.len());
    let (path, query) = origin_form.split_at(end);
    if memchr::memchr(b'#', query).is_some() {
        return Err(Flaw::Target);
    }
    let path = if path.is_empty() { b"/" } else { path };
    let resolved = resolved(path, rules.paths)?;
    if resolved.is_none() && origin_form.len() == sent.len() {
        return Ok(None);
    }
    Ok(Some([resolved.as_deref().unwrap_or(path), query].concat()))
}

/// `http://shop.test/path` in its parts.
pub(super) struct Absolute<'t> {
    scheme: &'t [u8],
    pub(super) authority: &'t [u8],
    path: &'t [u8],
}

pub(super) fn absolute(target: &[u8]) -> Option<Absolute<'_>> {
    if target.starts_with(b"/") {
        return None;
    }
    let colon = memchr::memchr(b':', target)?;
    let rest = target[colon..].strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Some(Absolute { scheme: &target[..colon], authority, path })
}

/// The path of an absolute target. Other schemes are for other proxies.
fn path_of_absolute(target: &[u8]) -> Result<&[u8], Flaw> {
    let is_http =
        |scheme: &[u8]| scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    absolute(target)
        .filter(|absolute| is_http(absolute.scheme))
        .map(|absolute| absolute.path)
        .ok_or(Flaw::Target)
}

/// The path without dot segments; `None` if it has none.
fn resolved(path: &[u8], leniency: Leniency) -> Result<Option<Vec<u8>>, Flaw> {
    if is_plain(path) {
        return Ok(None);
    }
    check_escapes(path)?;
    let segments: Vec<(&[u8], Vec<u8>)> =
        path[1..].split(|byte| *byte == b'/').map(|segment| (segment, decoded(segment))).collect();
    let has_dots = segments.iter().any(|(_, decoded)| is_dots(decoded));
    for (_, decoded) in &segments {
        check_separators(decoded, has_dots, leniency)?;
    }
    match leniency {
        _ if !has_dots => Ok(None),
        Leniency::Refuse => Err(Flaw::DotSegment),
        Leniency::Repair => Ok(Some(without_dots(&segments))),
    }
}

/// Each `..` takes the segment before it away, and what is empty in between, as where slashes are merged.
fn without_dots(segments: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let is_empty = |segment: &&[u8]| segment.split(|byte| *byte == b';').next() == Some(b"");
    for (segment, decoded) in segments {
        match &decoded[..] {
            b"." => {}
            b".." => {
                while kept.last().is_some_and(is_empty) {
                    kept.pop();
                }
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    // A last dot segment leaves a directory behind.
    if segments.last().is_some_and(|(_, decoded)| is_dots(decoded)) {
        kept.push(b"");
    }
    [b"/", &kept.join(&b'/')[..]].concat()
}

fn is_dots(decoded: &[u8]) -> bool {
    matches!(decoded, b"." | b"..")
}

/// Whether a path certainly needs no further look; most of a shop's do not.
fn is_plain(path: &[u8]) -> bool {
    let is_odd = |at: usize| path[at] != b'.' || path[..at].ends_with(b"/");
    path.is_ascii() && !memchr::memchr3_iter(b'%', b'\\', b'.', path).any(is_odd)
}

/// Escapes are two hexadecimal digits each, stand for no control character, and for no character in
/// more bytes than it needs (RFC 3629, section 3; up to six in RFC 2279, which some decoders still know),
/// which some take for a slash or a dot. Bytes that are not escaped are held to the same.
fn check_escapes(path: &[u8]) -> Result<(), Flaw> {
    let escapes = memchr::memchr_iter(b'%', path).map(|at| escaped(&path[at..]));
    let is_sound = |byte: Option<u8>| byte.is_some_and(|byte| !byte.is_ascii_control());
    let is_overlong = decoded(path).windows(2).any(begins_overlong);
    if escapes.into_iter().all(is_sound) && !is_overlong { Ok(()) } else { Err(Flaw::PathEscape) }
}

/// Whether two bytes begin a character that would have fitted into fewer: by the length that the first tells,
/// all bits that only this length has are none.
fn begins_overlong(pair: &[u8]) -> bool {
    matches!(
        pair,
        [0xc0 | 0xc1, 0x80..=0xbf]
            | [0xe0, 0x80..=0x9f]
            | [0xf0, 0x80..=0x8f]
            | [0xf8, 0x80..=0x87]
            | [0xfc, 0x80..=0x83]
    )
}

/// An escaped slash is data to some origins and a separator to others. Where there are dot segments, that
/// is two paths; and what only some servers take for a dot segment is one as well.
fn check_separators(decoded: &[u8], has_dots: bool, leniency: Leniency) -> Result<(), Flaw> {
    let has_slash = decoded.contains(&b'/');
    let hides_dots = decoded.split(|byte| *byte == b'/').any(|part| {
        // A servlet container takes `..;x` for `..`.
        part.contains(&b';') && part.split(|byte| *byte == b';').next().is_some_and(is_dots)
            || has_slash && is_dots(part)
    });
    let is_refused = has_slash && (has_dots || leniency == Leniency::Refuse);
    if decoded.contains(&b'\\') || hides_dots || is_refused { Err(Flaw::PathSeparator) } else { Ok(()) }
}

/// Escapes undone, once.
fn decoded(mut rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let escaped = escaped(rest);
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { after };
    }
    bytes
}

/// The byte that `%` and two hexadecimal digits at the start of `text` stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    (text.first() == Some(&b'%')).then(|| u8::try_from(digit(1)? << 4 | digit(2)?).ok())?
}
