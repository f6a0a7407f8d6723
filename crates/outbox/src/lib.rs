//! The life of an email, from its row in MySQL to its acceptance by Amazon SES.
