"""What a request does to objects: one file for each verb, and what verbs share."""
