//! Which calls a fault meets, and what it does to them.

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// AWS answers with an error: the status, its code, and that code in the Query protocol.
    Aws(u16, &'static str, &'static str),
    /// A plain answer of this status: the registry's errors.
    Status(u16),
    /// AWS answers with this, whoever asks.
    Says(&'static str),
    /// A registry that lets in who sends just these credentials, and asks all others for some.
    Challenge(&'static str),
    /// The connection is cut when so many bytes of the request's body have gone through. Whoever
    /// sends fewer does not meet it.
    CutAfter(u64),
    /// The call is carried out, and the connection is cut in place of the answer.
    CutAnswer,
    /// The call goes nowhere, and no answer comes.
    Hang,
    /// The call is carried out, and no answer comes.
    HangAnswer,
}

/// AWS's errors. Sources: "Common errors" in the API references of ECS (JSON) and of STS (Query).
impl Fault {
    pub const THROTTLED: Self = Self::Aws(400, "ThrottlingException", "Throttling");
    pub const SERVER_ERROR: Self = Self::Aws(500, "ServerException", "InternalFailure");
    pub const UNAVAILABLE: Self = Self::Aws(503, "ServiceUnavailable", "ServiceUnavailable");
    pub const DENIED: Self = Self::Aws(400, "AccessDeniedException", "AccessDenied");
    pub const EXPIRED: Self = Self::Aws(400, "ExpiredTokenException", "ExpiredToken");
    pub const UNKNOWN_KEY: Self =
        Self::Aws(400, "UnrecognizedClientException", "InvalidClientTokenId");
}

/// A fault, and the calls that it meets.
#[derive(Clone, Debug)]
pub struct Rule {
    call: String,
    once: bool,
    after: Option<String>,
    fault: Fault,
    met: bool,
}

impl Rule {
    /// Every call of this name. With `*` at its end it is the beginning of names.
    pub fn always(call: impl Into<String>, fault: Fault) -> Self {
        Self { call: call.into(), once: false, after: None, fault, met: false }
    }

    /// The first call of these, and no further one.
    pub fn once(call: impl Into<String>, fault: Fault) -> Self {
        Self { once: true, ..Self::always(call, fault) }
    }

    /// Only what comes after a call of this name.
    pub fn after(mut self, call: impl Into<String>) -> Self {
        self.after = Some(call.into());
        self
    }

    /// The fault that a call meets whose body is this long, after these ones.
    pub fn meets(&mut self, name: &str, length: u64, before: &[String]) -> Option<Fault> {
        let due = self.after.as_ref().is_none_or(|after| before.iter().any(|name| is(after, name)));
        let short = matches!(self.fault, Fault::CutAfter(bytes) if length < bytes);
        if !due || short || !is(&self.call, name) || (self.once && self.met) {
            return None;
        }
        self.met = true;
        Some(self.fault)
    }
}

/// Whether a name is meant by a pattern.
pub fn is(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[test]
fn a_rule_meets_what_it_says() {
    let met = |mut rule: Rule, names: &[&str]| {
        let mut before = Vec::new();
        let mut meets = |name: &&str| {
            let met = rule.meets(name, 8, &before).is_some();
            before.push((*name).to_owned());
            met
        };
        names.iter().filter(|name| meets(name)).count()
    };
    let calls = ["ecs:A", "ecs:B", "ecs:A", "ecr:A"];
    assert_eq!(met(Rule::always("ecs:A", Fault::Hang), &calls), 2);
    assert_eq!(met(Rule::always("ecs:*", Fault::Hang), &calls), 3);
    assert_eq!(met(Rule::once("ecs:*", Fault::Hang), &calls), 1);
    assert_eq!(met(Rule::always("*", Fault::Hang).after("ecs:B"), &calls), 2);
    assert_eq!(met(Rule::always("*", Fault::CutAfter(8)), &calls), 4);
    assert_eq!(met(Rule::always("*", Fault::CutAfter(9)), &calls), 0);
}
