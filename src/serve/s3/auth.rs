//! Signatures of requests: AWS Signature Version 4 ("Authenticating Requests", Amazon S3 API Reference), in a header or in the query.

use super::super::access::Secret;
use super::super::request::Asked;
use super::super::text::encoded;
use crate::crypto::{hmac_sha256, is_same_secret, sha256};
use crate::id::hex;

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Denied {
    Missing,
    Malformed,
    UnknownKey,
    Skewed,
    Expired,
    Wrong,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How far clocks may be apart, in seconds.
const SKEW: i64 = 15 * 60;
/// The longest time for which a link is good, in seconds.
const LONGEST: i64 = 7 * 24 * 3600;
/// What stands for the hash of a content that is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// More headers than any client signs.
const MAX_HEADERS: usize = 64;

/// What a request says about its signature.
struct Signed<'r> {
    access_key: &'r str,
    /// Day, region, service and `aws4_request`.
    scope: [&'r str; 4],
    date: &'r str,
    headers: Vec<&'r str>,
    signature: &'r str,
    /// For how many seconds it is good; none for one in a header.
    expires: Option<i64>,
    payload: &'r str,
}

/// Whether a request is one of a client of S3.
pub(in super::super) fn is_signed(asked: &Asked) -> bool {
    asked.header(hyper::header::AUTHORIZATION).is_some_and(|value| value.starts_with(ALGORITHM))
        || asked.value("X-Amz-Algorithm").is_some()
        || asked.headers.contains_key("x-amz-content-sha256")
}

/// Makes sure that a request was signed with this key, now (in seconds since 1970).
pub(in super::super) fn verify(asked: &Asked, secret: &Secret, now: i64) -> Result<(), Denied> {
    let signed = match asked.header(hyper::header::AUTHORIZATION) {
        Some(header) => in_header(asked, header)?,
        None if asked.value("X-Amz-Algorithm").is_some() => in_query(asked)?,
        None => return Err(Denied::Missing),
    };
    if !is_same_secret(signed.access_key.as_bytes(), secret.access_key.as_bytes()) {
        return Err(Denied::UnknownKey);
    }
    let [day, region, service, end] = signed.scope;
    if service != "s3" || end != "aws4_request" || !signed.date.starts_with(day) || day.len() != 8 {
        return Err(Denied::Malformed);
    }
    in_time(&signed, now)?;
    if !signed.headers.contains(&"host") || signed.headers.len() > MAX_HEADERS {
        return Err(Denied::Malformed);
    }
    let request = canonical(asked, &signed);
    let scope = signed.scope.join("/");
    let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{}", signed.date, hex(&sha256(request.as_bytes())));
    let day_key = hmac_sha256(format!("AWS4{}", secret.secret_key).as_bytes(), day.as_bytes());
    let key = [region, service, end].iter().fold(day_key, |key, part| hmac_sha256(&key, part.as_bytes()));
    let expected = hex(&hmac_sha256(&key, to_sign.as_bytes()));
    if is_same_secret(expected.as_bytes(), signed.signature.as_bytes()) { Ok(()) } else { Err(Denied::Wrong) }
}

fn in_header<'r>(asked: &'r Asked, header: &'r str) -> Result<Signed<'r>, Denied> {
    let rest = header.strip_prefix(ALGORITHM).ok_or(Denied::Malformed)?;
    let fields = rest.split(',').filter_map(|field| field.trim().split_once('='));
    let (mut credential, mut headers, mut signature) = (None, None, None);
    for (name, value) in fields {
        match name {
            "Credential" => credential = Some(value),
            "SignedHeaders" => headers = Some(value),
            "Signature" => signature = Some(value),
            _ => {}
        }
    }
    let (access_key, scope) = credential.and_then(scope_of).ok_or(Denied::Malformed)?;
    Ok(Signed {
        access_key,
        scope,
        date: asked.headers.get("x-amz-date").and_then(|date| date.to_str().ok()).ok_or(Denied::Malformed)?,
        headers: headers.ok_or(Denied::Malformed)?.split(';').collect(),
        signature: signature.ok_or(Denied::Malformed)?,
        expires: None,
        payload: asked
            .headers
            .get("x-amz-content-sha256")
            .and_then(|hash| hash.to_str().ok())
            .ok_or(Denied::Malformed)?,
    })
}

fn in_query(asked: &Asked) -> Result<Signed<'_>, Denied> {
    let text = |name| asked.value(name).and_then(|value| std::str::from_utf8(value).ok()).ok_or(Denied::Malformed);
    if text("X-Amz-Algorithm")? != ALGORITHM {
        return Err(Denied::Malformed);
    }
    let (access_key, scope) = scope_of(text("X-Amz-Credential")?).ok_or(Denied::Malformed)?;
    let expires = text("X-Amz-Expires")?.parse().map_err(|_| Denied::Malformed)?;
    Ok(Signed {
        access_key,
        scope,
        date: text("X-Amz-Date")?,
        headers: text("X-Amz-SignedHeaders")?.split(';').collect(),
        signature: text("X-Amz-Signature")?,
        expires: Some(expires),
        payload: text("X-Amz-Content-Sha256").unwrap_or(UNSIGNED),
    })
}

fn scope_of(credential: &str) -> Option<(&str, [&str; 4])> {
    // The name of the key may hold slashes; the scope is the last four parts.
    let mut parts = credential.rsplitn(5, '/');
    let (end, service, region, day) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((parts.next()?, [day, region, service, end]))
}

fn in_time(signed: &Signed<'_>, now: i64) -> Result<(), Denied> {
    let made = seconds_of(signed.date).ok_or(Denied::Malformed)?;
    match signed.expires {
        None if (now - made).abs() > SKEW => Err(Denied::Skewed),
        Some(expires) if !(1..=LONGEST).contains(&expires) => Err(Denied::Malformed),
        Some(_) if made - now > SKEW => Err(Denied::Skewed),
        Some(expires) if now > made + expires => Err(Denied::Expired),
        _ => Ok(()),
    }
}

/// The seconds since 1970 of a time like `20261130T120000Z`.
fn seconds_of(date: &str) -> Option<i64> {
    let is_time = date.len() == "20261130T120000Z".len() && date.ends_with('Z');
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok().filter(|_| is_time)?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The request as it is signed.
fn canonical(asked: &Asked, signed: &Signed<'_>) -> String {
    let path = encoded(&[b"/", &asked.path[..]].concat(), true);
    let pairs = asked.query.iter().filter(|(name, _)| name != b"X-Amz-Signature");
    let mut query: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false))).collect();
    query.sort_unstable();
    let mut headers = String::new();
    for name in &signed.headers {
        let values = asked.headers.get_all(*name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let values: Vec<String> = values.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let names = signed.headers.join(";");
    format!("{}\n{path}\n{}\n{headers}\n{names}\n{}", asked.method, query.join("&"), signed.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
        }
    }

    fn asked(address: &str, headers: &[(&'static str, &str)]) -> Asked {
        let mut request = hyper::Request::builder().uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Asked::new(request.body(()).unwrap().into_parts().0).unwrap()
    }

    const NOW: &str = "20130524T000000Z";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// The example "GET Object" of "Signature Calculations for the Authorization Header" in Amazon's reference.
    fn example(authorization: &str) -> Vec<(&'static str, &str)> {
        vec![
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", NOW),
            ("authorization", authorization),
        ]
    }

    fn authorization(signature: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={signature}"
        )
    }

    const SIGNATURE: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";

    #[test]
    fn the_example_of_the_reference_is_let_in_and_nothing_else() {
        let now = seconds_of(NOW).unwrap();
        let good = authorization(SIGNATURE);
        let request = |address: &str| asked(address, &example(&good));
        assert_eq!(verify(&request("/test.txt"), &secret(), now), Ok(()));
        assert_eq!(verify(&request("/test.txt"), &secret(), now + SKEW), Ok(()));
        assert_eq!(verify(&request("/test.txt"), &secret(), now + SKEW + 1), Err(Denied::Skewed));
        assert_eq!(verify(&request("/test.txt"), &secret(), now - SKEW - 1), Err(Denied::Skewed));
        assert_eq!(verify(&request("/other.txt"), &secret(), now), Err(Denied::Wrong));
        assert_eq!(verify(&request("/test.txt?x=y"), &secret(), now), Err(Denied::Wrong));
        let other = Secret { secret_key: "another".into(), ..secret() };
        assert_eq!(verify(&request("/test.txt"), &other, now), Err(Denied::Wrong));
        let other = Secret { access_key: "another".into(), ..secret() };
        assert_eq!(verify(&request("/test.txt"), &other, now), Err(Denied::UnknownKey));
        let short = authorization(&SIGNATURE[..40]);
        assert_eq!(verify(&asked("/test.txt", &example(&short)), &secret(), now), Err(Denied::Wrong));
        let mut changed = example(&good);
        changed[1] = ("range", "bytes=0-99");
        assert_eq!(verify(&asked("/test.txt", &changed), &secret(), now), Err(Denied::Wrong));
        assert_eq!(verify(&asked("/test.txt", &[]), &secret(), now), Err(Denied::Missing));
        for wrong in ["AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b", "Basic eDp5"] {
            assert_eq!(verify(&asked("/test.txt", &example(wrong)), &secret(), now), Err(Denied::Malformed), "{wrong}");
        }
    }

    /// The example of "Authenticating Requests: Using Query Parameters" in Amazon's reference.
    #[test]
    fn a_link_is_good_until_it_expires() {
        let link = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F\
                    aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
                    aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        let request = asked(link, &[("host", "examplebucket.s3.amazonaws.com")]);
        let now = seconds_of(NOW).unwrap();
        assert_eq!(verify(&request, &secret(), now + 86_400), Ok(()));
        assert_eq!(verify(&request, &secret(), now + 86_401), Err(Denied::Expired));
        assert_eq!(verify(&request, &secret(), now - SKEW - 1), Err(Denied::Skewed));
        let longer = asked(&link.replace("86400", "99999999"), &[("host", "examplebucket.s3.amazonaws.com")]);
        assert_eq!(verify(&longer, &secret(), now), Err(Denied::Malformed));
        let longer = asked(&link.replace("86400", "86401"), &[("host", "examplebucket.s3.amazonaws.com")]);
        assert_eq!(verify(&longer, &secret(), now), Err(Denied::Wrong));
    }
}
