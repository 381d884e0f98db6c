"""Labels: ontology terms, classes, and the possible answers of a field."""
