"""The database server: connections, transactions, schema, binary COPY."""
