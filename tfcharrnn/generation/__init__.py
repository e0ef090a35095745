"""Generation: logits to text.

    prompt --Generator--> ids --Writer--> ids --Generator--> text

The modules in the order of their imports:

    sampling    draws the id of the next character from logits
    stopping    ends a text where it should end
    request     what to write and how to draw it, checked
    float32     a model of any type, in float32
    strips      scores a long text in strips side by side
    reading     predicts each character of a given text
    tracing     the states and gates of a model while it reads
    surprise    a text, and how unexpected each character was
    writer      makes the steps of a model in compiled graphs
    noise       the noise of `sampling`, in NumPy
    draws       what `sampling` draws, in NumPy
    conversion  a model's step with int8 weights, for LiteRT
    cache       converted models, kept for the next start
    int8        makes the steps of a model with int8 weights
    generator   the front: text in, text out
    rereading   a model without a state, as one with a state
    samples     a callback: what the model writes while it trains
"""
