//! Reads predicates: first the words with their places, then down by how tightly things bind.

mod words;

use std::fmt;
use std::str::FromStr;

use eastfall_fabric::Span;
use eastfall_topology::Word as _;
use eastfall_topology::nearest;

use super::expression::{Binding, Condition, Expression, Function, Operator, When, Which};
pub(super) use words::is_plain_name;
use words::{RESERVED, Token, tokens};

/// Parentheses, `not` and minus signs inside each other; more is nobody's intention.
const DEEPEST: u32 = 64;

/// Why a text is no predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where, in bytes from the start of the predicate.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
    /// What to do.
    pub cure: String,
    /// The nearest valid word, where one is near.
    pub nearest: Option<String>,
}

// === Parser ===

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: u32,
}

impl Parser {
    fn new(text: &str) -> Result<Parser, SyntaxError> {
        Ok(Parser { tokens: tokens(text)?, next: 0, depth: 0 })
    }

    fn peek(&self) -> (usize, &Token) {
        // The last token is `End` and is never passed, so there always is one.
        self.tokens.get(self.next).map_or((0, &Token::End), |(at, token)| (*at, token))
    }

    fn advance(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn take_word(&mut self, word: &str) -> bool {
        let here = matches!(self.peek().1, Token::Name(name) if name == word);
        if here {
            self.advance();
        }
        here
    }

    fn take_sign(&mut self, wanted: &str) -> bool {
        let here = matches!(self.peek().1, Token::Sign(sign) if *sign == wanted);
        if here {
            self.advance();
        }
        here
    }

    /// An error about what comes next.
    fn unexpected(&self, cure: &str) -> SyntaxError {
        let (at, token) = self.peek();
        SyntaxError {
            at,
            message: format!("{token} is not expected here"),
            cure: cure.to_owned(),
            nearest: None,
        }
    }

    fn expect_word(&mut self, word: &str, cure: &str) -> Result<(), SyntaxError> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected(cure)) }
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), SyntaxError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("write `{sign}`"))) }
    }

    fn end<T>(self, value: T) -> Result<T, SyntaxError> {
        match self.peek().1 {
            Token::End => Ok(value),
            _ => Err(self.unexpected("join with + - * / < <= > >= = != and or, or end here")),
        }
    }

    fn span(&mut self) -> Result<Span, SyntaxError> {
        let Token::Span(span) = *self.peek().1 else {
            return Err(self.unexpected("write a length of time, such as 90s or 5m"));
        };
        self.advance();
        Ok(span)
    }

    fn when(&mut self) -> Result<When, SyntaxError> {
        let form = "write `first time that ...`, `first time after ID that ...` or `last time that ...`";
        let which = match self.peek().1 {
            Token::Name(word) => Which::from_word(word),
            _ => None,
        };
        let which = which.ok_or_else(|| self.unexpected(form))?;
        self.advance();
        self.expect_word("time", form)?;
        let mut after = None;
        if self.take_word("after") {
            match self.peek().1.clone() {
                Token::Name(id) if !RESERVED.contains(&id.as_str()) => after = Some(id),
                _ => return Err(self.unexpected("name a step of the scenario or a milestone")),
            }
            self.advance();
        }
        self.expect_word("that", form)?;
        Ok(When { which, after, condition: self.condition()? })
    }

    fn condition(&mut self) -> Result<Condition, SyntaxError> {
        let expression = self.truth(Binding::Or)?;
        let lasting = if self.take_word("for") { Some(self.span()?) } else { None };
        Ok(Condition { expression, lasting })
    }

    /// An expression that binds at least so tightly and is a truth.
    fn truth(&mut self, binding: Binding) -> Result<Expression, SyntaxError> {
        self.of_kind(binding, true, "compare it, such as with `> 0`")
    }

    fn number(&mut self, binding: Binding) -> Result<Expression, SyntaxError> {
        self.of_kind(binding, false, "a comparison is a truth: join truths with and, or, not")
    }

    fn of_kind(&mut self, binding: Binding, truth: bool, cure: &str) -> Result<Expression, SyntaxError> {
        let at = self.peek().0;
        let expression = self.expression(binding)?;
        if expression.is_truth() == truth {
            return Ok(expression);
        }
        let (is, wanted) = if truth { ("a number", "a truth") } else { ("a truth", "a number") };
        let message = format!("`{expression}` is {is}, and {wanted} is wanted");
        Err(SyntaxError { at, message, cure: cure.to_owned(), nearest: None })
    }

    fn expression(&mut self, binding: Binding) -> Result<Expression, SyntaxError> {
        match binding {
            Binding::Or => self.joined(Binding::Or, Binding::And),
            Binding::And => self.joined(Binding::And, Binding::Not),
            Binding::Not if self.take_word("not") => {
                let inner = self.nested(|parser| parser.truth(Binding::Not))?;
                Ok(Expression::Not(Box::new(inner)))
            }
            Binding::Not => self.expression(Binding::Comparison),
            Binding::Comparison => self.comparison(),
            Binding::Sum => self.joined(Binding::Sum, Binding::Product),
            Binding::Product => self.joined(Binding::Product, Binding::Negative),
            Binding::Negative if self.take_sign("-") => {
                let inner = self.nested(|parser| parser.number(Binding::Negative))?;
                Ok(Expression::Negative(Box::new(inner)))
            }
            Binding::Negative | Binding::Whole => self.whole(),
        }
    }

    /// The operator that comes next, if it binds exactly so tightly.
    fn operator(&mut self, binding: Binding) -> Option<Operator> {
        let next = match self.peek().1 {
            Token::Name(word) => word.as_str(),
            Token::Sign(sign) => sign,
            _ => return None,
        };
        let found = Operator::SIGNS.iter().find(|(sign, _)| *sign == next).map(|(_, operator)| *operator);
        let operator = found.filter(|operator| operator.binding() == binding)?;
        self.advance();
        Some(operator)
    }

    /// `a + b - c`, from the left.
    fn joined(&mut self, binding: Binding, inner: Binding) -> Result<Expression, SyntaxError> {
        let at = self.next;
        let mut left = self.expression(inner)?;
        while let Some(operator) = self.operator(binding) {
            let truths = binding <= Binding::And;
            if left.is_truth() != truths {
                // Read it again as what it should be, for the error's sake.
                self.next = at;
                return if truths { self.truth(inner) } else { self.number(inner) };
            }
            let right = if truths { self.truth(inner)? } else { self.number(inner)? };
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expression, SyntaxError> {
        let at = self.next;
        let left = self.expression(Binding::Sum)?;
        let Some(operator) = self.operator(Binding::Comparison) else { return Ok(left) };
        if left.is_truth() {
            self.next = at;
            return self.number(Binding::Sum);
        }
        let right = self.number(Binding::Sum)?;
        Ok(Expression::Binary(operator, Box::new(left), Box::new(right)))
    }

    fn whole(&mut self) -> Result<Expression, SyntaxError> {
        let (at, token) = self.peek();
        let token = token.clone();
        let wanted = "write a series, a number, a length of time, a function or something in parentheses";
        match token {
            Token::Number(number) => self.took(Expression::Number(number)),
            Token::Span(span) => self.took(Expression::Span(span)),
            Token::Quoted(name) => self.took(Expression::Series(name)),
            Token::Name(name) if !RESERVED.contains(&name.as_str()) => {
                self.advance();
                if self.take_sign("(") { self.call(at, &name) } else { Ok(Expression::Series(name)) }
            }
            Token::Sign("(") => {
                self.advance();
                let inner = self.nested(|parser| parser.expression(Binding::Or))?;
                self.expect_sign(")")?;
                Ok(inner)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    fn took(&mut self, expression: Expression) -> Result<Expression, SyntaxError> {
        self.advance();
        Ok(expression)
    }

    fn call(&mut self, at: usize, name: &str) -> Result<Expression, SyntaxError> {
        let function = Function::from_word(name).ok_or_else(|| SyntaxError {
            at,
            message: format!("`{name}` is no function"),
            cure: format!("write one of {}", Function::WORDS.join(", ")),
            nearest: nearest(name, Function::WORDS.iter().copied()),
        })?;
        let inner = self.nested(|parser| parser.number(Binding::Or))?;
        let window = match self.peek().1 {
            Token::Sign(",") if function.takes_window() => {
                self.advance();
                Some(self.span()?)
            }
            Token::Sign(",") => {
                return Err(self.unexpected(&format!("`{name}` takes one expression and no window")));
            }
            _ => None,
        };
        self.expect_sign(")")?;
        Ok(Expression::Call(function, Box::new(inner), window))
    }

    /// What stands inside something else, so deep at most that reading it can't exhaust the stack.
    fn nested(
        &mut self,
        read: impl FnOnce(&mut Parser) -> Result<Expression, SyntaxError>,
    ) -> Result<Expression, SyntaxError> {
        if self.depth == DEEPEST {
            return Err(self.unexpected("nest it less deeply"));
        }
        self.depth += 1;
        let inner = read(self);
        self.depth -= 1;
        inner
    }
}

impl FromStr for When {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<When, SyntaxError> {
        let mut parser = Parser::new(text)?;
        let when = parser.when()?;
        parser.end(when)
    }
}

impl FromStr for Condition {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<Condition, SyntaxError> {
        let mut parser = Parser::new(text)?;
        let condition = parser.condition()?;
        parser.end(condition)
    }
}

impl FromStr for Expression {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<Expression, SyntaxError> {
        let mut parser = Parser::new(text)?;
        let expression = parser.expression(Binding::Or)?;
        parser.end(expression)
    }
}

impl std::error::Error for SyntaxError {}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at letter {}: {}", self.at + 1, self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        write!(f, "; {}", self.cure)
    }
}

#[cfg(test)]
mod tests;
