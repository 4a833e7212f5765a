"""What a workspace is: kcp's types, admission, authorization, reconcilers."""
