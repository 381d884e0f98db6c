"""Labels: ontology terms, classes, and every answer that a field can give."""
