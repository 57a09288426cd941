"""The ways to Kafka that stages share: Faust apps, credentials, compacted topics read to their end, how long to try."""
