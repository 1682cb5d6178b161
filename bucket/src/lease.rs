//! One holder at a time: a claim on a bucket that several processes may want, without anything beside the bucket.
//!
//! A lease is a folder of small objects, named by rising numbers; the highest one is the lease, and it says who holds it until when.
//! Whoever finds it free or run out creates the next number, which only one can: a create that fails if the object exists is all
//! that is asked of the store, so directories and S3 are alike. Only the holder ever writes over its own number.
//!
//! A holder that renews and a taker that finds the same lease run out cannot both succeed: the one writes its number and then
//! looks for a higher one, the other creates the higher one and then looks at the one below. The object is never removed, only
//! marked free, so that numbers do not come back.
//!
//! Times are the callers'. A lease counts as run out half a term after its end, so clocks may differ by that much. A lease does
//! not fence: work that has begun may end after it was lost.

use sarsen_block::json::Json;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;

/// A lease that is held.
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    terms: LeaseTerms,
    number: u64,
}

/// What is claimed, by whom, for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// What is claimed: `compactor`.
    pub name: String,
    /// Who claims it. A name of one process at a time; whoever comes back under the same name has it at once.
    pub holder: String,
    /// For how long a claim holds unless it is renewed, in milliseconds. Renew after a third of it.
    pub term_ms: i64,
}

/// How a claim ended.
#[derive(Debug)]
pub enum Leasing {
    /// It is held.
    Held(Lease),
    /// Another one holds it.
    Busy {
        /// Who.
        holder: String,
        /// Until when unless it is renewed, in milliseconds since the Unix epoch by the holder's clock.
        until_ms: i64,
    },
    /// The store cannot create an object only if there is none, so there can be no lease.
    NotOffered {
        /// How that was seen.
        why: String,
    },
}

/// How a renewal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// It is held for another term.
    Held,
    /// It is another one's.
    Lost {
        /// Whose, as far as it can be read.
        holder: String,
    },
}

/// The content of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    holder: String,
    /// 0: free.
    until_ms: i64,
}

impl Claim {
    fn parse(name: &str, text: &[u8]) -> Result<Self, Error> {
        let corrupt = |error: sarsen_block::Error| Error::corrupt(name, error.to_string());
        let json = Json::parse("lease", text).map_err(corrupt)?;
        let fields = json.fields("lease").map_err(corrupt)?;
        let version = fields.i64("version").map_err(corrupt)?;
        if version != 1 {
            return Err(Error::corrupt(name, format!("unexpected version {version}, expected 1")));
        }
        let holder = fields.text("holder").map_err(corrupt)?.to_owned();
        Ok(Self { holder, until_ms: fields.i64("until_ms").map_err(corrupt)? })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let fields = vec![
            ("version", Json::from(1u64)),
            ("holder", Json::text(&self.holder)),
            ("until_ms", Json::from(self.until_ms)),
        ];
        Json::object(fields).compact().into_bytes()
    }

    /// Whether another one may take it.
    fn is_open_to(&self, terms: &LeaseTerms, now_ms: i64) -> bool {
        let ends_ms = self.until_ms.saturating_add(terms.term_ms / 2);
        self.until_ms == 0 || self.holder == terms.holder || ends_ms < now_ms
    }
}

impl Lease {
    /// Claims what `terms` say.
    ///
    /// # Errors
    /// As the store says.
    pub async fn take(bucket: &Bucket, terms: &LeaseTerms, now_ms: i64) -> Result<Leasing, Error> {
        let numbers = numbers(bucket, &terms.name).await?;
        let last = numbers.last().copied();
        if let Some(claim) = read(bucket, terms, last).await?
            && !claim.is_open_to(terms, now_ms)
        {
            return Ok(Leasing::Busy { holder: claim.holder, until_ms: claim.until_ms });
        }
        let number = last.unwrap_or(0).saturating_add(1);
        let claim = Claim { holder: terms.holder.clone(), until_ms: now_ms.saturating_add(terms.term_ms) };
        let name = Layout::lease(&terms.name, number);
        match create(bucket, &name, &claim).await? {
            Created::Yes => {}
            Created::Taken(claim) => {
                return Ok(Leasing::Busy { holder: claim.holder, until_ms: claim.until_ms });
            }
            Created::NotOffered(why) => return Ok(Leasing::NotOffered { why }),
        }
        // The holder may have renewed between our look and our claim.
        if let Some(claim) = read(bucket, terms, last).await?
            && !claim.is_open_to(terms, now_ms)
        {
            bucket.delete(&name).await?;
            return Ok(Leasing::Busy { holder: claim.holder, until_ms: claim.until_ms });
        }
        for old in numbers {
            bucket.delete(&Layout::lease(&terms.name, old)).await?;
        }
        Ok(Leasing::Held(Self { bucket: bucket.clone(), terms: terms.clone(), number }))
    }

    /// Holds it for another term from `now_ms`, unless it has been taken.
    ///
    /// # Errors
    /// As the store says; the lease then runs on to its end.
    pub async fn renew(&mut self, now_ms: i64) -> Result<Renewal, Error> {
        if let Some(lost) = self.lost().await? {
            return Ok(lost);
        }
        self.write(now_ms.saturating_add(self.terms.term_ms)).await?;
        Ok(self.lost().await?.unwrap_or(Renewal::Held))
    }

    /// Gives it back, so that the next one need not wait for the end of the term.
    ///
    /// # Errors
    /// As the store says; the lease then runs on to its end.
    pub async fn give_back(self) -> Result<(), Error> {
        match self.lost().await? {
            Some(_) => Ok(()),
            None => self.write(0).await,
        }
    }

    /// Whether there is a higher number than ours, or none that high.
    async fn lost(&self) -> Result<Option<Renewal>, Error> {
        let last = numbers(&self.bucket, &self.terms.name).await?.last().copied();
        if last == Some(self.number) {
            return Ok(None);
        }
        let claim = read(&self.bucket, &self.terms, last).await?;
        Ok(Some(Renewal::Lost { holder: claim.map_or_else(String::new, |claim| claim.holder) }))
    }

    async fn write(&self, until_ms: i64) -> Result<(), Error> {
        let claim = Claim { holder: self.terms.holder.clone(), until_ms };
        let name = Layout::lease(&self.terms.name, self.number);
        self.bucket.put(&name, claim.to_bytes().into()).await
    }
}

/// The numbers there are, rising.
async fn numbers(bucket: &Bucket, name: &str) -> Result<Vec<u64>, Error> {
    let objects = bucket.list(&Layout::lease_folder(name)).await?;
    let number = |object: &crate::Object| object.name.rsplit('/').next()?.parse().ok();
    let mut numbers: Vec<u64> = objects.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The claim of this number; `None` if there is none. One that cannot be read holds for a term from when it was written.
async fn read(bucket: &Bucket, terms: &LeaseTerms, number: Option<u64>) -> Result<Option<Claim>, Error> {
    let Some(number) = number else { return Ok(None) };
    let name = Layout::lease(&terms.name, number);
    let Some(text) = bucket.get_if_exists(&name).await? else { return Ok(None) };
    match Claim::parse(&name, &text) {
        Ok(claim) => Ok(Some(claim)),
        Err(error) => {
            let written = bucket.attributes(&name).await?;
            let until_ms = |object: crate::Object| object.modified_ms.saturating_add(terms.term_ms);
            Ok(written.map(until_ms).map(|until_ms| Claim { holder: error.to_string(), until_ms }))
        }
    }
}

enum Created {
    Yes,
    Taken(Claim),
    NotOffered(String),
}

/// Creates the object of a claim, and makes sure that it could not have been created twice.
async fn create(bucket: &Bucket, name: &str, claim: &Claim) -> Result<Created, Error> {
    let text = claim.to_bytes();
    let created = match bucket.put_new(name, text.clone().into()).await {
        Ok(created) => created,
        Err(error) if error.is_not_offered() => return Ok(Created::NotOffered(error.to_string())),
        Err(error) => match only_without_condition(bucket, name, &text).await? {
            true => return Ok(Created::NotOffered(error.to_string())),
            false => return Err(error),
        },
    };
    if !created {
        // An answer that was lost leaves our own claim there.
        let found = bucket.get_if_exists(name).await?.unwrap_or_default();
        if found != text {
            let unread = |error: Error| Claim { holder: error.to_string(), until_ms: claim.until_ms };
            return Ok(Created::Taken(Claim::parse(name, &found).unwrap_or_else(unread)));
        }
    }
    if bucket.put_new(name, text.into()).await? {
        bucket.delete(name).await?;
        let why = format!("{name} was created twice: the store does not heed conditions");
        return Ok(Created::NotOffered(why));
    }
    Ok(Created::Yes)
}

/// Whether the store takes an object as it is, and refuses the same object with the condition that there be none. A server
/// that does not know the condition may refuse it in any words.
async fn only_without_condition(bucket: &Bucket, name: &str, text: &[u8]) -> Result<bool, Error> {
    let probe = format!("{name}.probe");
    bucket.put(&probe, text.to_vec().into()).await?;
    bucket.delete(&probe).await?;
    let refused = bucket.put_new(&probe, text.to_vec().into()).await.is_err();
    bucket.delete(&probe).await?;
    Ok(refused)
}
